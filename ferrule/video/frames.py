"""Frames of a video file or a webcam: each with its time, read one after the other, never all in memory."""

import math
import time
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from ferrule.errors import DataError
from ferrule.layouts.pictures import quiet_opencv

_EPSILON = 1e-6  # seconds; times that should be equal differ by rounding
_USUAL_RATE = 25.0  # frames a second, where neither the clock nor the head of a file tells
_LONGEST = 600.0  # seconds between two frames
_MOST_FRAMES = 10**9  # some containers give a length that is no length
_MISSING = 0.05  # of the frames that a file promises: fewer than this may be a rounding of its head

_THUMBNAIL = (32, 18)  # pixels; what a cut is looked for in
# A cut is a mean change of a pixel by more than this (grey levels; PySceneDetect's content detector has the same
# number by default), with less than this correlation: a lamp that is switched on changes every pixel, but correlates.
_CUT_CHANGE, _CUT_CORRELATION = 27.0, 0.6


@dataclass(frozen=True)
class Frame:
    """A picture of a video, uint8 (h, w, 3) RGB and upright, and its time in seconds since the first one.

    `number` counts all frames from 0. `cut` tells that another scene began after the frame that came before.
    """

    number: int
    seconds: float
    image: np.ndarray
    cut: bool = False


class Video:
    """A video that is open for reading: a file, or a camera (`live`), whose clock is ours and which has no end.

    `times` grows by the time of each frame that is read. `seconds` is how long a file says it is, None where it does
    not. Close it, or use it as a context.
    """

    def __init__(self, capture: cv2.VideoCapture, name: str, *, live: bool = False) -> None:
        self.name = name
        self.live = live
        self.times = array("d")
        self._capture = capture
        self._rate = capture.get(cv2.CAP_PROP_FPS)
        promised = 0.0 if live else capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._promised = int(promised) if 0 < promised < _MOST_FRAMES else 0
        self._ended = False
        self.seconds = self._promised / self._rate if self._promised and self._rate > 0 else None

    @classmethod
    def open(cls, source: Path | int) -> Self:
        """Open a file, or the webcam of that number; raises DataError where that is not possible."""
        with quiet_opencv():
            if isinstance(source, int):
                return cls(_open_camera(source), f"webcam {source}", live=True)
            return cls(_open_file(source), str(source))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._capture.release()

    def frames(self, max_seconds: float | None = None) -> Generator[Frame]:
        """Yield every frame that can be read, up to `max_seconds`; raises DataError where there is none."""
        limit = math.inf if max_seconds is None else max_seconds
        started = None
        while (image := self._read()) is not None:
            now = time.monotonic() if self.live else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            started = now if started is None else started
            seconds = self._next_time(now - started)
            if seconds >= limit:
                return
            self.times.append(seconds)
            yield Frame(len(self.times) - 1, seconds, image)
        self._ended = True
        if not self.times:
            advice = "close what else uses it" if self.live else "convert it or copy it again"
            raise DataError(
                f"Expected frames in {self.name}; got none that can be decoded ({self._codec()}); {advice}."
            )

    def ended_early(self) -> str | None:
        """Return the sentence on a file that ended before it had as many frames as its head says, or None."""
        if not self._ended or len(self.times) >= self._promised * (1 - _MISSING) - 1:
            return None
        return (
            f"{self.name} ends early: {len(self.times):,} of {self._promised:,} frames could be read, "
            f"up to {self.times[-1]:.1f} s."
        )

    def _read(self) -> np.ndarray | None:
        with quiet_opencv():
            found, image = self._capture.read()
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if found else None

    def _codec(self) -> str:
        """Return the four letters by which a file names how its frames are encoded."""
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        return code.to_bytes(4, "little").decode("ascii", errors="replace").strip("\0 ") or "unknown codec"

    def _next_time(self, seconds: float) -> float:
        """Return the time of the next frame: what the clock says, unless it stands still or leaps, as of some files."""
        if not self.times or self.times[-1] < seconds <= self.times[-1] + _LONGEST:
            return seconds
        return self.times[-1] + 1 / (self._rate if self._rate > 0 else _USUAL_RATE)


def sample_frames(frames: Iterable[Frame], rate: float) -> Iterator[Frame]:
    """Yield the first frame and then the first one of each 1/`rate` seconds; all of them where there are fewer.

    Cuts are looked for between any two frames, and `cut` tells of those since the frame that was yielded before.
    """
    due, cut, before = 0.0, False, None
    for frame in frames:
        thumbnail = _shrink(frame.image)
        cut = cut or (before is not None and _is_cut(before, thumbnail))
        before = thumbnail
        if frame.seconds >= due - _EPSILON:
            yield replace(frame, cut=cut)
            due, cut = (math.floor((frame.seconds + _EPSILON) * rate) + 1) / rate, False


def replay(path: Path, times: Sequence[float]) -> Iterator[Frame]:
    """Yield the frames of a file that was read before, at the `times` that they had then, and no more of them."""
    with Video.open(path) as video:
        for frame, seconds in zip(video.frames(), times, strict=False):
            yield replace(frame, seconds=seconds)


def steady_rate(times: Sequence[float]) -> float:
    """Return the frames a second, 1 to 60, at which a video with frames at these `times` is shown evenly."""
    return round(min(max(1 / (usual_step(times) or 1 / _USUAL_RATE), 1.0), 60.0), 3)


def usual_step(times: Sequence[float]) -> float | None:
    """Return the median time between two of `times`, in seconds; None where there are not two."""
    return float(np.median(np.diff(times))) if len(times) > 1 else None


def steady_frames(frames: Iterable[Frame], rate: float) -> Iterator[Frame]:
    """Yield a frame each 1/`rate` seconds, with that time: the nearest one, repeated or left out as need be."""
    slot, before = 0, None
    for frame in frames:
        while before is not None and slot / rate < frame.seconds - 0.5 / rate:
            yield replace(before, seconds=slot / rate)
            slot += 1
        before = frame
    if before is not None:
        yield replace(before, seconds=slot / rate)


def open_capture(path: Path) -> cv2.VideoCapture:
    """Let FFmpeg open a file by its full path, so that no name is taken for an address or a pattern."""
    return cv2.VideoCapture(name_for_ffmpeg(path.resolve()), cv2.CAP_FFMPEG)


def name_for_ffmpeg(path: Path) -> str:
    """Return a path as text; raises DataError for bytes that are none, which would end the process in OpenCV."""
    name = str(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"Expected a path that is text in UTF-8; got {name!a}; rename the file or folder.") from error
    return name


def _open_camera(number: int) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise DataError(
            f"Expected webcam {number} to open; it does not; connect it, allow it, close what else uses it, or give "
            "another number."
        )
    return capture


def _open_file(path: Path) -> cv2.VideoCapture:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "not there"
        raise DataError(f"Expected a video file; {path} is {found}; correct the path.")
    capture = open_capture(path)
    if not capture.isOpened():
        size = path.stat().st_size
        found = f"{size:,} bytes that it does not know, or that end before their index" if size else "an empty file"
        raise DataError(f"Expected a video that FFmpeg reads in {path}; got {found}; copy it again, or convert it.")
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture


def _shrink(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()


def _is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Tell whether two thumbnails, float32 (m,), show different scenes."""
    if np.abs(after - before).mean() <= _CUT_CHANGE:
        return False
    before, after = before - before.mean(), after - after.mean()
    size = float(np.linalg.norm(before) * np.linalg.norm(after))
    return size == 0 or float(before @ after) / size < _CUT_CORRELATION
