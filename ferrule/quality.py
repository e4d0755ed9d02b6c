"""Facts about single images, one table row each: grey range, contrast, sharpness, a hash, and what is blank or faint."""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
import pandas as pd

from ferrule.engine import map_chunks, open_executor

FAINT_STD = 4.0  # grey levels; below it an image shows nothing that a person could name
_CHUNK = 4096  # images


def measure_quality(images: np.ndarray) -> pd.DataFrame:
    """Measure `images`, uint8 (n, height, width); return n rows in the same order, whatever the number of workers.

    Columns: `minimum`, `maximum` (0-255), `mean` (brightness) and `std` (contrast) in grey levels, `sharpness`
    (variance of the Laplacian; Pech-Pacheco et al., ICPR 2000), `levels` (distinct grey values), `blank` (one grey
    level), `faint` (std under 4 grey levels; blank images are also faint), `pixel_hash` (16 hexadecimal digits, equal
    for equal pixels), `pixel_count`, `height`, `width` and `dtype`.
    """
    with open_executor() as executor:
        measured = list(map_chunks(_measure_chunk, _chunks(images), executor))
    return pd.concat(measured or [_measure_chunk(images)], ignore_index=True)


def hash_pixels(images: np.ndarray) -> list[str]:
    """Return a 64-bit BLAKE2b hash of the pixels of each image, as 16 hexadecimal digits."""
    return [blake2b(image.tobytes(), digest_size=8).hexdigest() for image in images]


def _chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield consecutive images, a few thousand at a time."""
    for start in range(0, len(images), _CHUNK):
        yield images[start : start + _CHUNK]


def _measure_chunk(images: np.ndarray) -> pd.DataFrame:
    """Measure a chunk of images; a pure function, so that chunks can be measured anywhere."""
    count, height, width = images.shape
    pixels = np.ascontiguousarray(images).reshape(count, height * width)
    minimum, maximum = pixels.min(axis=1), pixels.max(axis=1)
    mean, std = _moments(pixels)
    return pd.DataFrame(
        {
            "minimum": minimum,
            "maximum": maximum,
            "mean": mean,
            "std": std,
            "sharpness": _sharpness(images),
            "levels": _count_levels(pixels),
            "blank": minimum == maximum,
            "faint": std < FAINT_STD,
            "pixel_hash": pd.array(hash_pixels(images), dtype="str"),
            "pixel_count": np.full(count, height * width),
            "height": np.full(count, height),
            "width": np.full(count, width),
            "dtype": pd.array([str(images.dtype)] * count, dtype="str"),
        }
    )


def _moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each row, from integer sums: exact, so a blank image has exactly 0."""
    size = pixels.shape[1]
    total = pixels.sum(axis=1, dtype=np.int64)
    squares = (pixels.astype(np.uint16) ** 2).sum(axis=1, dtype=np.int64)
    return total / size, np.sqrt(size * squares - total**2) / size


def _sharpness(images: np.ndarray) -> np.ndarray:
    """Return the variance of the four-neighbour Laplacian over the inner pixels."""
    grey = images.astype(np.int16)
    neighbours = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    laplacian = neighbours - 4 * grey[:, 1:-1, 1:-1]
    return laplacian.var(axis=(1, 2), dtype=np.float64)


def _count_levels(pixels: np.ndarray) -> np.ndarray:
    """Return how many different grey values each row holds."""
    ordered = np.sort(pixels, axis=1)
    return 1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1)
