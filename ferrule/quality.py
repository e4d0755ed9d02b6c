"""Facts about single images, one table row each: grey levels, contrast, sharpness, a hash, what is blank or faint."""

from collections.abc import Iterator
from hashlib import blake2b

import cv2
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
    histograms = np.array([np.bincount(image.ravel(), minlength=256) for image in images]).reshape(count, 256)
    mean, std = _moments(histograms)
    present = histograms > 0
    levels = present.sum(axis=1)
    return pd.DataFrame(
        {
            "minimum": present.argmax(axis=1),
            "maximum": 255 - present[:, ::-1].argmax(axis=1),
            "mean": mean,
            "std": std,
            "sharpness": np.array([_sharpness(image) for image in images], dtype=np.float64),
            "levels": levels,
            "blank": levels == 1,
            "faint": std < FAINT_STD,
            "pixel_hash": pd.array(hash_pixels(images), dtype="str"),
            "pixel_count": np.full(count, height * width),
            "height": np.full(count, height),
            "width": np.full(count, width),
            "dtype": pd.array([str(images.dtype)] * count, dtype="str"),
        }
    )


def _moments(histograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each histogram, (n, 256); from whole numbers, so a blank has exactly 0."""
    grey = np.arange(256)
    size = histograms.sum(axis=1)
    total, squares = histograms @ grey, histograms @ grey**2
    return total / size, np.sqrt(size * squares - total**2) / size


def _sharpness(image: np.ndarray) -> float:
    """Return the variance of the four-neighbour Laplacian over the inner pixels."""
    inner = cv2.Laplacian(image, cv2.CV_16S)[1:-1, 1:-1]
    return cv2.meanStdDev(inner)[1].item() ** 2
