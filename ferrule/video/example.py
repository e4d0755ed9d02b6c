"""A short clip of drawn people, to try a video with: nobody is in it.

python -m ferrule.video.example clip.mp4
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ferrule.emotions import EMOTIONS
from ferrule.errors import FerruleError
from ferrule.synthetic import paint_portraits
from ferrule.video.files import check_ending, write_video
from ferrule.video.frames import Frame

SIZE = (640, 360)  # pixels, width and height
RATE = 25.0  # frames a second

_SEED, _PEOPLE = 5, 24
_CHANGE = 0.3  # seconds that a face takes from one expression to the next
_WALL = (196, 188, 176)  # RGB
_SKIN = (1.06, 0.98, 0.90)  # what makes a grey face look less grey


@dataclass(frozen=True)
class Actor:
    """One of 24 drawn people; `shows` has (second, expression), `stands` (second, x, y) of the middle, in pixels.

    An expression lasts until the next, and between two places the way is straight. `side` is that of the portrait, of
    which the face fills some two thirds.
    """

    who: int
    shows: Sequence[tuple[float, str]]
    stands: Sequence[tuple[float, float, float]]
    side: int = 208


# One who is happy, then surprised; and one who comes later, goes out of sight for a moment and comes back sad.
CAST = (
    Actor(20, [(0, "neutral"), (2.5, "happy"), (6, "surprise"), (9, "neutral")], [(0, 190, 190), (12, 200, 180)]),
    Actor(
        21,
        [(0, "happy"), (6, "sad"), (9.5, "fear")],
        [(1, 780, 200), (2.5, 450, 200), (5, 440, 190), (5.6, 780, 190), (6.4, 780, 190), (7.2, 460, 190)],
    ),
)
SECONDS = 12.0


def main() -> int:
    """Write the clip; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ferrule.video.example", description="Write a clip of drawn people."
    )
    parser.add_argument("path", type=Path, help="such as clip.mp4")
    try:
        write_clip(parser.parse_args().path)
    except FerruleError as error:
        print(f"example: {error}", file=sys.stderr)
        return 1
    return 0


def write_clip(path: Path, cast: Sequence[Actor] = CAST, seconds: float = SECONDS, *, rate: float = RATE) -> None:
    """Write a clip of the `cast`, of the kind that the ending of `path` names; later ones of them in front."""
    check_ending(path)
    write_video(draw_clip(cast, seconds, rate), path, rate, lambda _: None)


def draw_clip(cast: Sequence[Actor], seconds: float, rate: float = RATE) -> Iterator[Frame]:
    """Yield the frames of a clip."""
    faces = [_paint(actor) for actor in cast]
    for number in range(round(seconds * rate)):
        now = number / rate
        image = np.full((SIZE[1], SIZE[0], 3), _WALL, np.float32)
        for actor, portraits in zip(cast, faces, strict=True):
            _place(image, _blend(actor, portraits, now), _where(actor, now))
        yield Frame(number, now, np.rint(image).clip(0, 255).astype(np.uint8))


def _paint(actor: Actor) -> dict[str, np.ndarray]:
    """Return the actor's portraits by expression, float32 (side, side, 3) RGB."""
    names = {name for _, name in actor.shows}
    found = {name: paint_portraits(np.full(_PEOPLE, EMOTIONS.index(name)), _SEED)[actor.who] for name in names}
    return {name: _enlarge(portrait, actor.side) for name, portrait in found.items()}


def _enlarge(portrait: np.ndarray, side: int) -> np.ndarray:
    large = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    return large[..., np.newaxis] * np.array(_SKIN, np.float32)


def _blend(actor: Actor, portraits: Mapping[str, np.ndarray], now: float) -> np.ndarray:
    """Return the face as it is now: one expression, or on its way from one to the next."""
    begun = [(second, name) for second, name in actor.shows if second <= now]
    second, name = begun[-1]
    share = min((now - second) / _CHANGE, 1.0)
    before = begun[-2][1] if len(begun) > 1 else name
    return share * portraits[name] + (1 - share) * portraits[before]


def _where(actor: Actor, now: float) -> tuple[float, float]:
    seconds, x, y = zip(*actor.stands, strict=True)
    return float(np.interp(now, seconds, x)), float(np.interp(now, seconds, y))


def _place(image: np.ndarray, face: np.ndarray, middle: tuple[float, float]) -> None:
    """Lay a face onto the image, float32 (h, w, 3), its edge faded out; what lies outside is left away."""
    side = len(face)
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    square = axis[:, np.newaxis] ** 2 + axis**2
    cover = np.clip((1.0 - square) / 0.25, 0, 1)[..., np.newaxis]
    left, top = round(middle[0] - side / 2), round(middle[1] - side / 2)
    rows, columns = (
        slice(*np.clip((start, start + side), 0, length))
        for start, length in zip((top, left), image.shape, strict=False)
    )
    part = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    image[rows, columns] += cover[part] * (face[part] - image[rows, columns])


if __name__ == "__main__":
    sys.exit(main())
