"""What the networks of a project are trained on, and by which labels: read by the stages noise and train."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.batches import TrainingData
from ferrule.emotions import FERPLUS_VOTES, class_ids
from ferrule.errors import DataError, ParameterError
from ferrule.noise.softening import soften_labels
from ferrule.samples import TABLE_FILE, load_samples


def read_data(root: Path, classes: tuple[str, ...], labels: str = "given") -> TrainingData:
    """Return augment's images, which stay on disk, with the rows that split gives to train and val.

    `labels` is train.labels of params.yaml: "cleaned" leaves out of train what the stage noise suspects, and what was
    generated from it; "ferplus_soft" adds the shares of FER+ votes as targets, and nothing else reads a vote. What is
    selected on stays as it is. Raises DataError or ParameterError where there is no suspicion or no vote to go by.
    """
    samples = load_samples(root / "artifacts" / "augment")
    split = pd.read_parquet(root / "artifacts" / "split" / "split.parquet")
    if not split["sample_id"].equals(samples.table["sample_id"]):
        raise DataError("Expected artifacts/split row by row with artifacts/augment; run the stage split again.")
    known = split["label"].isin(classes).to_numpy()
    ids = np.full(len(split), -1)
    ids[known] = class_ids(split["label"][known], classes)
    train, val = (known & (split["split"] == name).to_numpy() for name in ("train", "val"))
    if labels == "cleaned":
        train &= ~split["parent_id"].isin(_read_suspected(root)).to_numpy()
    original = (split["sample_id"] == split["parent_id"]).to_numpy()
    data = TrainingData(
        images=samples.images,
        labels=ids,
        originals=np.flatnonzero(train & original),
        generated=np.flatnonzero(train & ~original),
        val=np.flatnonzero(val),
        n_classes=len(classes),
    )
    return replace(data, targets=soften_labels(ids, _read_votes(root), classes)) if labels == "ferplus_soft" else data


def _read_suspected(root: Path) -> pd.Series:
    """Return the ids of the originals whose label is suspected; raises ParameterError where none was looked at."""
    path = root / "artifacts" / "noise" / "out_of_fold.parquet"
    table = pd.read_parquet(path, columns=["sample_id", "suspected"]) if path.is_file() else pd.DataFrame()
    if table.empty:
        raise ParameterError(
            "Expected labels that the stage noise has looked at for train.labels: cleaned; there are none; set "
            "noise.folds in params.yaml to 2 or more, though not above the images of the rarest class, and run the "
            "stage noise."
        )
    return table.loc[table["suspected"], "sample_id"]


def _read_votes(root: Path) -> pd.DataFrame:
    """Return the FER+ votes of augment's images; raises DataError where the data came without."""
    table = pd.read_parquet(root / "artifacts" / "augment" / TABLE_FILE)
    columns = [f"votes_{name}" for name in FERPLUS_VOTES]
    if not set(columns) <= set(table):
        raise DataError(
            "Expected FER+ votes in the data for train.labels: ferplus_soft; there are none; put fer2013new.csv beside "
            "the images and use them again (docs/data.md), or choose other labels."
        )
    return table[columns]
