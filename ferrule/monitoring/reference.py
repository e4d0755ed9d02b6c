"""The reference of a model: what it saw and said on validation images, a row an image, as scored images are kept.

Validation images are those it was not trained on (unlike train) and that cost no look (unlike test). Its probabilities
are calibrated by the temperature that scoring uses, so that the two can be compared.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ferrule.calibration import calibrate_predictions
from ferrule.predictions import read_probabilities
from ferrule.scoring.columns import APPEARANCE, list_embeddings, measure_appearance

TABLE = "reference.parquet"
VALUES = ("confidence", *APPEARANCE)


def tabulate_reference(
    predictions: pd.DataFrame, images: np.ndarray, classes: tuple[str, ...]
) -> tuple[pd.DataFrame, float]:
    """Return the reference without embeddings, and the temperature that its probabilities are at.

    `predictions` are the val rows of evaluate's table, `images` theirs, uint8 (n, 48, 48). Columns: `pixel_hash`,
    `label`, `predicted`, `probability_<class>` and those of VALUES.
    """
    calibrated, temperatures = calibrate_predictions(predictions, classes)
    probabilities = [f"probability_{name}" for name in classes]
    table = calibrated[["pixel_hash", "label", "predicted", *probabilities]].reset_index(drop=True)
    confidence = read_probabilities(calibrated, classes).max(axis=1)
    return table.assign(confidence=confidence).join(measure_appearance(images)[list(APPEARANCE)]), temperatures[""]


def summarize_reference(table: pd.DataFrame, temperature: float) -> dict[str, Any]:
    """Return the reference in a few numbers, for people: rows, temperature, shares of classes, and means."""
    shares = {name: table[name].value_counts(normalize=True).round(6).sort_index() for name in ("label", "predicted")}
    return {
        "rows": len(table),
        "temperature": temperature,
        "labels": shares["label"].to_dict(),
        "predictions": shares["predicted"].to_dict(),
        "means": table[list(VALUES)].mean().round(6).to_dict(),
    }


def write_reference(table: pd.DataFrame, embeddings: np.ndarray, path: Path) -> None:
    """Write the table with `embeddings`, float32 (n, d), as its column `embedding`: lists of d numbers."""
    column = list_embeddings(embeddings)
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False).append_column("embedding", column), path)
