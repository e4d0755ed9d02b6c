"""A copy of a video with its answers drawn into each frame, not only into those that were looked at."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from ferrule.annotation import draw_answers
from ferrule.answers import Answer
from ferrule.video.frames import Frame, steady_frames
from ferrule.video.tracks import Box, is_gap


def draw_frames(frames: Iterable[Frame], answers: Sequence[Answer], *, rate: float, step: float) -> Iterator[Frame]:
    """Yield `rate` frames a second with what is known at the time of each; `step` is as in `FacesInTime`."""
    faces = FacesInTime(answers, step)
    for frame in steady_frames(frames, rate):
        yield replace(frame, image=draw_answers(frame.image, faces.at(frame.seconds)))


class FacesInTime:
    """The answers about each face of a video, to be asked what they say at any moment.

    `step` is the usual time between two looks, in seconds: so long a face is there after it was seen last.
    """

    def __init__(self, answers: Sequence[Answer], step: float) -> None:
        seen = sorted((each for each in answers if each.track is not None), key=lambda each: (each.track, each.seconds))
        self._tracks = [list(group) for _, group in groupby(seen, key=lambda each: each.track)]
        self._times = [[each.seconds or 0.0 for each in track] for track in self._tracks]
        self._step = step

    def at(self, seconds: float) -> list[Answer]:
        """Return an answer for each face that is there: the last one about it, its box on the way to the next one's."""
        found = []
        for track, times in zip(self._tracks, self._times, strict=True):
            last = bisect_right(times, seconds) - 1
            after = times[last + 1] if last + 1 < len(times) else np.inf
            if last >= 0 and not is_gap(after - times[last], self._step):
                way = (seconds - times[last]) / (after - times[last])
                found.append(replace(track[last], box=_between(track[last].box, track[last + 1].box, way)))
            elif last >= 0 and seconds < times[last] + self._step:
                found.append(track[last])
        return found


def _between(one: Box | None, other: Box | None, way: float) -> Box | None:
    """Return the box that is `way` (0 to 1) from one to the other."""
    if one is None or other is None:
        return one
    x, y, width, height = (round(a + way * (b - a)) for a, b in zip(one, other, strict=True))
    return x, y, width, height
