"""Image files in class folders: any size, colour or common format, to 48×48 grey."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ferrule import MAX_PIXELS
from ferrule.emotions import parse_emotion
from ferrule.layouts.damage import DamageError
from ferrule.layouts.dimensions import read_size
from ferrule.samples import IMAGE_SIZE

MAX_BYTES = 64 << 20
MIN_SIDE = 8  # pixels; with fewer there is no expression to see

_SILENT = 0  # OpenCV's LOG_LEVEL_SILENT
# How each format begins and, where that is fixed, what stands at its end.
_SIGNATURES = (
    (b"\xff\xd8\xff", b"\xff\xd9"),
    (b"\x89PNG\r\n\x1a\n", b"IEND"),
    (b"GIF8", b"\x3b"),
    (b"BM", b""),
    (b"RIFF", b""),
    (b"II*\0", b""),
    (b"MM\0*", b""),
)


@dataclass(frozen=True)
class Picture:
    """An image file: where it lies, the name of its class folder, and the usage it has (None: unknown)."""

    path: Path
    class_name: str
    usage: str | None


def parse_class(folder_name: str, also: frozenset[str] = frozenset()) -> str | None:
    """Return the class that a folder is named after, or None; each of the words `also`, in lower case, names itself.

    A number names none: the data sets that number their folders do so in different orders.
    """
    word = folder_name.strip().lower()
    if word in also:
        return word
    return None if word.isdecimal() else parse_emotion(word)


def read_picture(path: Path) -> np.ndarray:
    """Return the image as `decode_picture` does; raises DamageError that tells what is wrong with the file."""
    return decode_picture(read_bytes(path))


def decode_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the image as uint8 (IMAGE_SIZE, IMAGE_SIZE); raises DamageError that tells what is wrong with the bytes.

    Colour becomes grey, 16 bits become 8, transparency is dropped, an animation gives its first picture, and the EXIF
    orientation is applied. Other sizes are resized, by area where that shrinks the image and by bicubic interpolation
    where it enlarges it; the aspect ratio is not kept.
    """
    import cv2

    return resize_image(decode_pixels(data, cv2.IMREAD_GRAYSCALE, max_pixels=max_pixels))


def resize_image(image: np.ndarray) -> np.ndarray:
    """Return a grey image as uint8 (IMAGE_SIZE, IMAGE_SIZE), resized as `decode_picture` says."""
    import cv2

    if image.shape == (IMAGE_SIZE, IMAGE_SIZE):
        return image
    way = cv2.INTER_AREA if image.size > IMAGE_SIZE * IMAGE_SIZE else cv2.INTER_CUBIC
    return cv2.resize(image, (IMAGE_SIZE, IMAGE_SIZE), interpolation=way)


def decode_pixels(data: bytes, flags: int, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the image as OpenCV's IMREAD_ `flags` ask for it, in its own size, with its EXIF orientation applied.

    Raises DamageError that tells what is wrong with the bytes. What does not state its size where `read_size`
    finds it, or states more than `max_pixels`, is not decoded.
    """
    import cv2

    if not data:
        raise DamageError("not an image", "an empty file")
    size = read_size(data)
    if size is None:
        raise explain_damage(data)
    width, height = size
    if width * height > max_pixels:
        raise DamageError("image too large", f"{width:,} × {height:,} pixels")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        too_large = "CV_IO_MAX_IMAGE" in str(error)
        told = " ".join(str(error).split())[-200:]
        raise DamageError("image too large" if too_large else "damaged image", told) from error
    if image is None or _ends_early(data):
        raise explain_damage(data)
    if min(image.shape[:2]) < MIN_SIDE:
        raise DamageError("image too small", f"{image.shape[1]} × {image.shape[0]} pixels")
    return image


def read_bytes(path: Path) -> bytes:
    """Return the bytes of an image file; raises DamageError where it is none, too large or unreadable."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DamageError("not an image", "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe")
        if status.st_size > MAX_BYTES:
            raise DamageError("image too large", f"{status.st_size:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise DamageError("unreadable file", error.strerror or type(error).__name__) from error
    return data


def explain_damage(data: bytes) -> DamageError:
    """Return what is wrong with the bytes of an image that cannot be decoded."""
    for signature, end in _SIGNATURES:
        if data.startswith(signature):
            if end and end not in data[-16:]:
                return DamageError("truncated image", f"{len(data):,} bytes that end before the image does")
            return DamageError("damaged image", f"{len(data):,} bytes that cannot be decoded")
    return DamageError("not an image", f"begins with {data[:12]!r}")


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from writing to the terminal about the files that become rejects anyway."""
    import cv2

    log = getattr(cv2.utils, "logging", cv2)  # where OpenCV 5 put what was in cv2 itself
    before = log.setLogLevel(_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)


def _ends_early(data: bytes) -> bool:
    # OpenCV 4.10 returns half a JPEG with left-over memory below it (opencv/opencv#26488), where 5 returns nothing.
    # A thumbnail inside the file has an end too; only the one after the last scan counts.
    return data.startswith(b"\xff\xd8\xff") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
