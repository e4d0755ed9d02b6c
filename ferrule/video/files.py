"""Video files that are written: by what their names end with, and whole or not at all."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import cv2

from ferrule.errors import DataError, ParameterError
from ferrule.files import replacing
from ferrule.layouts.pictures import quiet_opencv
from ferrule.video.frames import Frame, name_for_ffmpeg, open_capture

# What OpenCV's wheels can write everywhere: MPEG-4 for players, VP8 for browsers, JPEGs for anything.
_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".webm": "VP80", ".avi": "MJPG"}


def check_ending(path: Path) -> None:
    """Raise ParameterError unless `path` ends with a kind of video that can be written."""
    if path.suffix.lower() not in _CODECS:
        raise ParameterError(
            f"Expected a video that ends with {', '.join(_CODECS)}; got {path.name!r}; .webm plays in browsers."
        )


def write_video(frames: Iterable[Frame], path: Path, rate: float, tell: Callable[[float], object]) -> None:
    """Write `frames`, `rate` a second, to a file that appears, whole, when all are written; `tell` their seconds.

    Raises DataError where it cannot be written.
    """
    with replacing(path) as draft:
        part = draft.with_name(f"{draft.name}{path.suffix}")  # by its ending FFmpeg knows the kind
        try:
            with closing(record_frames(frames, part, rate)) as written:
                for frame in written:
                    tell(frame.seconds)
            _check(part, path)
            part.replace(draft)
        finally:
            part.unlink(missing_ok=True)


def record_frames(frames: Iterable[Frame], path: Path, rate: float) -> Generator[Frame]:
    """Write `frames` to `path` as they come, and yield each; close the generator to finish the file early."""
    writer = None
    try:
        for frame in frames:
            height, width = (side // 2 * 2 for side in frame.image.shape[:2])  # odd sides are not to be encoded
            writer = writer or _open_writer(path, (width, height), rate)
            writer.write(cv2.cvtColor(frame.image[:height, :width], cv2.COLOR_RGB2BGR))
            yield frame
    finally:
        if writer is not None:
            writer.release()


def _open_writer(path: Path, size: tuple[int, int], rate: float) -> cv2.VideoWriter:
    code = cv2.VideoWriter.fourcc(*_CODECS[path.suffix.lower()])
    with quiet_opencv(), _hush():
        writer = cv2.VideoWriter(name_for_ffmpeg(path), cv2.CAP_FFMPEG, code, rate, size)
    if not writer.isOpened():
        raise DataError(
            f"Expected to write a video of {size[0]}×{size[1]} pixels to {path.parent}; OpenCV cannot; choose another "
            "ending or folder."
        )
    return writer


@contextmanager
def _hush() -> Iterator[None]:
    """Keep standard error from the terminal: OpenCV writes there of each VP8 file, from C, that its tag is odd."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check(part: Path, path: Path) -> None:
    """Raise DataError unless a file that was written can be read: the writer itself tells of no fault."""
    with quiet_opencv():
        capture = open_capture(part)
        whole = capture.isOpened() and capture.grab()
        capture.release()
    if not whole:
        raise DataError(f"Expected to write {path}; what was written cannot be read; see whether the disk is full.")
