"""Columns that scored images and the reference of drift have in common: made here, so that they can be compared."""

import numpy as np
import pandas as pd
import pyarrow as pa

from ferrule.quality import measure_quality

APPEARANCE = ("brightness", "contrast", "sharpness")


def measure_appearance(images: np.ndarray) -> pd.DataFrame:
    """Return `pixel_hash` and the columns of APPEARANCE of uint8 (n, 48, 48), a row an image (`measure_quality`)."""
    quality = measure_quality(images).rename(columns={"mean": "brightness", "std": "contrast"})
    return quality[["pixel_hash", *APPEARANCE]]


def list_embeddings(embeddings: np.ndarray) -> pa.FixedSizeListArray:
    """Return float32 (n, d) as the column `embedding`: lists of d numbers."""
    return pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])
