"""Samples: the one form in which images travel through Ferrule, an array and a table with one row an image."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ferrule.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

IMAGE_SIZE = 48  # pixels a side
IMAGES_FILE = "images.npy"
TABLE_FILE = "samples.parquet"


@dataclass(frozen=True)
class Samples:
    """Images, uint8 (n, 48, 48), and their table, n rows in the same order.

    Every table has `sample_id` (int64, unique, ascending), `label` (class name, missing where the source has no labels)
    and `usage` (Training, PublicTest, PrivateTest, or missing). Ingest adds `source_file`, `source_row` and, where FER+
    votes were given, `votes_*`; augment adds `parent_id` (its own `sample_id` for an original) and `group_id`.
    """

    images: np.ndarray
    table: "pd.DataFrame"

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
            raise DataError(
                f"Expected uint8 images of shape (n, {IMAGE_SIZE}, {IMAGE_SIZE}); got {self.images.dtype} "
                f"{self.images.shape}; convert them first."
            )
        if len(self.images) != len(self.table):
            raise DataError(
                f"Expected one table row an image; got {len(self.images)} images and {len(self.table)} rows; "
                "write both again from their source."
            )

    def __len__(self) -> int:
        return len(self.table)

    def select(self, rows: np.ndarray) -> "Samples":
        """Return the samples at `rows`, a boolean mask (n,) or positions; the images are copied."""
        rows = np.asarray(rows)
        return Samples(self.images[rows], self.table.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows])

    def chunks(self, size: int = 4096) -> Iterator[np.ndarray]:
        """Yield consecutive images, uint8 (at most `size`, 48, 48), as views."""
        for start in range(0, len(self), size):
            yield self.images[start : start + size]


def save_samples(samples: Samples, folder: Path) -> None:
    """Write `images.npy` and `samples.parquet` into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / IMAGES_FILE, samples.images)
    samples.table.to_parquet(folder / TABLE_FILE, index=False)


def load_samples(folder: Path) -> Samples:
    """Read what `save_samples` wrote; the images are memory-mapped, read-only.

    Raises DataError where a file is missing or the two do not belong together.
    """
    for name in (IMAGES_FILE, TABLE_FILE):
        if not (folder / name).is_file():
            raise DataError(f"Expected {folder / name}, but it is not there; run the stage that makes it (dvc repro).")
    import pandas as pd

    return Samples(np.load(folder / IMAGES_FILE, mmap_mode="r"), pd.read_parquet(folder / TABLE_FILE))
