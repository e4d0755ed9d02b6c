"""Finding near copies, beside the plain way: one image after the other against all later ones, in one thread of numpy.

Both compare the same hashes of all pairs, check the same pixels and must find the same pairs; what differs is how the
work is cut up. (All pairs in plain Python would take hours.)
"""

import cv2
import numpy as np

from bench.rows import ROOT, Row, Setup, alternate, compare, seconds
from ferrule.duplicates import LIKENESS, find_copies
from ferrule.quality import measure_quality
from pipelines.params import load_params

RUNS = 3

# As ferrule/duplicates.py explains them; were they to differ, so would the pairs.
GRID, CELL = 12, 4
BLUR, SHIFT, FLAT = 1.5, 4, 2.0

Pairs = set[tuple[int, int, bool]]


def measure(setup: Setup) -> list[Row]:
    """Return the row of time; raises ValueError where the two ways find different pairs."""
    samples, near_bits = setup.samples, load_params(ROOT).audit.near_bits
    quality = measure_quality(samples.images)
    faint = quality["faint"].to_numpy()
    positions = dict(zip(samples.table["sample_id"], range(len(samples)), strict=True))
    found: dict[str, Pairs] = {}

    def ours() -> None:
        pairs = find_copies(samples, quality, near_bits=near_bits).pairs
        first, second = pairs["first"].map(positions), pairs["second"].map(positions)
        found["ours"] = set(zip(first, second, pairs["mirrored"], strict=True))

    def plainly() -> None:
        found["plain"] = find_plainly(samples.images, faint, near_bits)

    times = alternate(lambda: seconds(ours), lambda: seconds(plainly), setup.runs, warm_up=False)
    if found["ours"] != found["plain"]:
        raise ValueError(f"the ways differ in {len(found['ours'] ^ found['plain'])} pairs")
    compared = int((~faint).sum())
    words = compared * (compared - 1) / 2 * 2 * 2  # plain and mirrored; two words settle nearly every pair
    name = f"near copies among {len(samples):,} images: {len(found['ours']):,} pairs"
    limit = words / setup.limits.count
    return [compare(name, "numpy, an image at a time", "s", times, limit=limit, limit_is="counting the bits alone")]


def find_plainly(images: np.ndarray, faint: np.ndarray, near_bits: int) -> Pairs:
    """Return (first, second, mirrored) for all near copies among `images`, uint8 (n, 48, 48), that are not `faint`."""
    seen: set[bytes] = set()
    rows = []
    for row, image in enumerate(images):
        pixels = image.tobytes()
        if pixels not in seen and not faint[row]:
            rows.append(row)
        seen.add(pixels)
    plain, mirrored = (np.stack([_hash(images[row][:, ::flip]) for row in rows]) for flip in (1, -1))
    pairs = set()
    for number, row in enumerate(rows):
        for flip, hashes in enumerate((plain, mirrored)):
            later = hashes[number + 1 :]
            bits = np.bitwise_count(plain[number] ^ later).sum(axis=1)
            for other in np.flatnonzero(bits <= near_bits) + number + 1:
                second = images[rows[other]]
                if _likeness(images[row], second[:, ::-1] if flip else second) >= LIKENESS:
                    pairs.add((row, rows[other], bool(flip)))
    return pairs


def _hash(image: np.ndarray) -> np.ndarray:
    """Return the difference hash of one image, uint64 (3,)."""
    cells = image.reshape(GRID, CELL, GRID, CELL).sum(axis=(1, 3))
    bits = (cells[:, 1:] > cells[:, :-1]).ravel()
    return np.packbits(np.pad(bits, (0, 3 * 64 - len(bits)))).view(np.uint64)


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return how well the fine detail of two images correlates at the best of all small shifts."""
    middle, whole = _detail(first)[SHIFT:-SHIFT, SHIFT:-SHIFT], _detail(second)
    return -1.0 if middle.std() < FLAT else float(cv2.matchTemplate(whole, middle, cv2.TM_CCOEFF_NORMED).max())


def _detail(image: np.ndarray) -> np.ndarray:
    grey = image.astype(np.float32)
    return np.clip(np.rint(grey - cv2.GaussianBlur(grey, (0, 0), BLUR) + 128), 0, 255).astype(np.uint8)
