"""What a model has seen: a table that knows the images it was trained or selected on again, and holds none of them.

An exact copy is known by the hash of its pixels. A picture that was saved anew, as JPEG or in another size, has other
pixels; it is known by a perceptual hash, the signs of 64 slow cosines of the image (pHash; Zauner 2010, "Implementation
and Benchmarking of Perceptual Image Hash Functions"). `python -m bench.seen` measures how often that is right.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ferrule.quality import FAINT_STD, hash_pixels
from ferrule.samples import IMAGE_SIZE

NEAR_BITS = 3  # of 64 that may differ between near copies
NONE, EXACT, NEAR = "none", "exact", "near"  # how an image is a copy of one that was seen

_CHUNK = 512  # images whose cosines are computed at once
_STRIP = 64  # images compared at once with all that were seen
_HASH, _NEAR_HASH = "pixel_hash", "near_hash"
_SLOW = 10  # cosines along a side, of which the 64 slowest pairs are taken


def list_seen(split: pd.DataFrame, images: np.ndarray) -> pd.DataFrame:
    """Return `pixel_hash` and `near_hash` (uint64) of the images a model of `split` was trained or selected on.

    `images` is uint8 (n, 48, 48), row by row with `split`. Equal pixels are listed once, sorted by their hash; faint
    images have the `near_hash` 0, which stands for none. Generated images are left out: no data set holds them, and
    their parents are here.
    """
    original = split["sample_id"] == split["parent_id"]
    rows = np.flatnonzero(original & split["split"].isin(["train", "val"]))
    hashes = pd.array(hash_pixels(images[rows]), dtype="str")
    table = pd.DataFrame({_HASH: hashes, _NEAR_HASH: hash_cosines(images[rows])})
    return table.drop_duplicates(_HASH).sort_values(_HASH, ignore_index=True)


def knows_near(seen: pd.DataFrame) -> bool:
    """Tell whether a table of `list_seen` can find near copies; one that an older Ferrule wrote cannot."""
    return _NEAR_HASH in seen


def find_seen(images: np.ndarray, seen: pd.DataFrame) -> np.ndarray:
    """Return for each of `images`, uint8 (n, 48, 48), whether it was `seen`: NONE, EXACT or NEAR, str (n,).

    Mirror images count as near copies, because a network that is trained with flips has seen them.
    """
    exact = np.isin(hash_pixels(images), seen[_HASH])
    near = np.zeros(len(images), bool)
    if knows_near(seen):
        near = _resemble(images, seen[_NEAR_HASH].to_numpy(np.uint64))
    return np.select([exact, near], [EXACT, NEAR], NONE)


def hash_cosines(images: np.ndarray) -> np.ndarray:
    """Return the perceptual hash of each of `images`, uint8 (n, 48, 48), as uint64 (n,); 0 for faint ones."""
    frequency, place = np.arange(_SLOW)[:, None], np.arange(IMAGE_SIZE)
    basis = np.cos(np.pi * frequency * (2 * place + 1) / (2 * IMAGE_SIZE))
    rows, columns = _slowest()
    parts = [np.empty(0, np.uint64)]
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK].astype(np.float64)
        cosines = basis @ chunk @ basis.T
        bits = np.ascontiguousarray(cosines[:, rows, columns] > 0)
        hashes = np.packbits(bits, axis=1).view(np.uint64).ravel()
        parts.append(np.where(chunk.std(axis=(1, 2)) < FAINT_STD, np.uint64(0), hashes))
    return np.concatenate(parts)


def _slowest() -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the 64 slowest cosines, the constant one left out."""
    rows, columns = np.indices((_SLOW, _SLOW)).reshape(2, -1)
    order = np.lexsort([rows, rows**2 + columns**2])[1:65]
    return rows[order], columns[order]


def _resemble(images: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return which images are, plain or mirrored, within NEAR_BITS of one that was seen, bool (n,)."""
    hashes, known = hash_cosines(images), seen[seen != 0]
    # Mirroring an image turns the sign of every cosine whose column is odd.
    odd = np.packbits(_slowest()[1] % 2 == 1).view(np.uint64)[0]
    near = np.zeros(len(images), bool)
    for rows in _strips(np.flatnonzero(hashes)):
        for flip in (np.uint64(0), odd):
            bits = np.bitwise_count((hashes[rows, None] ^ flip) ^ known)
            near[rows] |= (bits <= NEAR_BITS).any(axis=1)
    return near


def _strips(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _STRIP):
        yield rows[start : start + _STRIP]
