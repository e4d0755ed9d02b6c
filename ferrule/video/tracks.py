"""Which face is which from frame to frame: each that is seen again keeps its number.

A face is looked for where it would be if it went on moving as it did, and among several candidates the one that looks
like it is taken. Nobody is recognised: a face that was gone for long, or that comes after a cut, gets a new number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = tuple[int, int, int, int]  # x, y, width and height in pixels

PATIENCE = 2.0  # seconds for which a face may be out of sight and keep its number

_GLIMPSE = 0.6  # seconds; a face that is not found for less was there all the same

_REACH, _SPEED = 0.4, 3.0  # face sides that a face may be off at once, and that it may be off more with each second
_MOST_REACH = 2.0
_GROWTH = 2.0  # by which its side may differ
_LOOKS = 0.7  # what looking different costs, against being as far off as a face may be
_MEMORY = 0.5  # seconds for which a face that is out of sight is taken to go on as it went


def is_gap(seconds: float, step: float) -> bool:
    """Tell whether a face that was seen twice, so far apart, was away; `step` is the usual time between two looks."""
    return seconds > max(1.5 * step, _GLIMPSE)


@dataclass
class _Track:
    """A face as it was seen last: middle (2,) and side in pixels, pixels a second (2,), and how it looked (m,)."""

    number: int
    seconds: float
    middle: np.ndarray
    side: float
    velocity: np.ndarray
    looks: np.ndarray

    def expect(self, seconds: float) -> np.ndarray:
        """Return where its middle should be now."""
        return self.middle + self.velocity * min(seconds - self.seconds, _MEMORY)

    def move(self, seconds: float, middle: np.ndarray, side: float, looks: np.ndarray) -> None:
        """Take note of where it was seen; its velocity is the mean of what it was and what it is."""
        velocity = (middle - self.middle) / (seconds - self.seconds)
        self.velocity = (self.velocity + velocity) / 2
        self.seconds, self.middle, self.side, self.looks = seconds, middle, side, looks


class Tracker:
    """Numbers the faces of a video from 1, in the order in which they appear."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._last = 0

    def update(self, seconds: float, boxes: Sequence[Box], crops: np.ndarray, *, cut: bool = False) -> list[int]:
        """Return the number of each face in the frame at `seconds`, which grow from call to call.

        `boxes` are x, y, width and height in pixels, `crops` uint8 (n, 48, 48) the same faces. After a `cut` all faces
        are new.
        """
        self._tracks = [] if cut else [track for track in self._tracks if seconds - track.seconds <= PATIENCE]
        middles = [np.array([x + width / 2, y + height / 2]) for x, y, width, height in boxes]
        sides = [float(np.sqrt(width * height)) for _, _, width, height in boxes]
        looks = [_normalise(crop) for crop in crops]
        seen = _pair(
            [
                [_cost(track, seconds, *face) for face in zip(middles, sides, looks, strict=True)]
                for track in self._tracks
            ]
        )
        for track, face in seen.items():
            self._tracks[track].move(seconds, middles[face], sides[face], looks[face])
        numbers = {face: self._tracks[track].number for track, face in seen.items()}
        for face in range(len(boxes)):
            if face not in numbers:
                numbers[face] = self._last = self._last + 1
                self._tracks.append(_Track(self._last, seconds, middles[face], sides[face], np.zeros(2), looks[face]))
        return [numbers[face] for face in range(len(boxes))]


def _cost(track: _Track, seconds: float, middle: np.ndarray, side: float, looks: np.ndarray) -> float:
    """Return how little a face is like a track's: infinite where it is too far off, or of another size."""
    distance = float(np.linalg.norm(middle - track.expect(seconds))) / track.side
    reach = min(_REACH + _SPEED * (seconds - track.seconds), _MOST_REACH)
    if distance > reach or not 1 / _GROWTH <= side / track.side <= _GROWTH:
        return np.inf
    return distance / reach + _LOOKS * (1 - float(looks @ track.looks)) / 2


def _pair(costs: Sequence[Sequence[float]]) -> dict[int, int]:
    """Return row -> column, the cheapest pair first and then the cheapest of what is left; infinite ones never.

    (The sum is not always the least, as the Hungarian method's is; but a face that stays where it was is never given up
    for the sake of another.)
    """
    pairs = sorted((cost, row, column) for row, line in enumerate(costs) for column, cost in enumerate(line))
    chosen: dict[int, int] = {}
    for cost, row, column in pairs:
        if cost < np.inf and row not in chosen and column not in chosen.values():
            chosen[row] = column
    return chosen


def _normalise(crop: np.ndarray) -> np.ndarray:
    """Return a crop, uint8 (48, 48), as a vector of mean 0 and length 1: products of two are their correlation."""
    values = crop.astype(np.float32).ravel()
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-6)
