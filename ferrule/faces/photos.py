"""Photos: an image file of any size, colour or common format, to upright pixels."""

from pathlib import Path

import cv2
import numpy as np

from ferrule import MAX_PIXELS
from ferrule.layouts.pictures import decode_pixels, quiet_opencv, read_bytes


def read_photo(path: Path) -> np.ndarray:
    """Return the photo as `decode_photo` does; raises DamageError that tells what is wrong with the file."""
    return decode_photo(read_bytes(path))


def decode_photo(data: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the photo as uint8 (height, width, 3), RGB; raises DamageError that tells what is wrong with the bytes.

    The EXIF orientation is applied, grey becomes RGB, 16 bits become 8, transparency is dropped, and an animation gives
    its first picture. What does not state its size, or states more than `max_pixels`, is not decoded.
    """
    with quiet_opencv():
        photo = decode_pixels(data, cv2.IMREAD_COLOR, max_pixels=max_pixels)
    return cv2.cvtColor(photo, cv2.COLOR_BGR2RGB, photo)
