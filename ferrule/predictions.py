"""A model's predictions on held-out images as one table, and every score that follows from it."""

from typing import Any

import numpy as np
import pandas as pd

from ferrule.emotions import FERPLUS_VOTES, class_ids
from ferrule.errors import DataError
from ferrule.metrics import ferplus_majority, find_leak_free, score, score_ferplus
from ferrule.quality import hash_pixels

# What the columns and score blocks of test-time averaging end with.
PLAIN, AVERAGED = "", "_tta"


def select_held_out(table: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return the val and test rows of `split`, in its order, with `row`, `leak_free` and the FER+ votes of `table`.

    Both tables have one row an image in the same order; `row` is the position there. Generated images are never held
    out, and `leak_free` marks test images without a copy offered for training or selection. Raises DataError where the
    tables do not belong together.
    """
    if not split["sample_id"].equals(table["sample_id"]):
        raise DataError("Expected the splits row by row with the samples; got other ids; run the split stage again.")
    rows = split[["sample_id", "split", "label"]].assign(row=np.arange(len(split)), leak_free=find_leak_free(split))
    votes = table.filter(items=[f"votes_{name}" for name in FERPLUS_VOTES])
    return rows.join(votes)[split["split"].isin(["val", "test"])].reset_index(drop=True)


def tabulate_predictions(
    held_out: pd.DataFrame, images: np.ndarray, classes: tuple[str, ...], *, plain: np.ndarray, averaged: np.ndarray
) -> pd.DataFrame:
    """Return a row an image: `sample_id`, `split`, `label`, `leak_free`, `pixel_hash`, and what was predicted, twice.

    `images` is uint8 (n, 48, 48). `plain` and `averaged` are probabilities (n, k) without and with test-time averaging;
    each gives `predicted` and `probability_<class>`, the latter with `_tta` at the end. The hash of the pixels finds
    the same image in the predictions of another model, whatever file either was read from.
    """
    columns = {}
    for ending, probabilities in ((PLAIN, plain), (AVERAGED, averaged)):
        columns[f"predicted{ending}"] = np.array(classes)[probabilities.argmax(axis=1)]
        for number, name in enumerate(classes):
            columns[f"probability_{name}{ending}"] = probabilities[:, number]
    table = held_out[["sample_id", "split", "label", "leak_free"]]
    return table.assign(pixel_hash=hash_pixels(images), **columns)


def read_probabilities(predictions: pd.DataFrame, classes: tuple[str, ...], ending: str = PLAIN) -> np.ndarray:
    """Return the probabilities (n, k) of a table of predictions, plain or those of the columns with this `ending`."""
    return predictions[[f"probability_{name}{ending}" for name in classes]].to_numpy()


def score_predictions(
    predictions: pd.DataFrame, votes: pd.DataFrame, classes: tuple[str, ...], *, bootstrap: int, bins: int, seed: int
) -> dict[str, Any]:
    """Return the blocks of metrics.json, each as `metrics.score` has it: test, test_leak_free and val, all also `_tta`.

    `votes` has the rows of `predictions`; where it holds FER+ votes, each block says how far predictions and labels
    agree with them. A block without rows is left out.
    """
    majority = ferplus_majority(votes, classes) if "votes_neutral" in votes else None
    is_test = predictions["split"] == "test"
    parts = {
        "test": is_test,
        "test_leak_free": is_test & predictions["leak_free"],
        "val": predictions["split"] == "val",
    }
    blocks = {}
    for name, part in parts.items():
        rows = np.flatnonzero(part)
        labels = np.array(class_ids(predictions["label"].iloc[rows], classes), dtype=int)
        for ending in (PLAIN, AVERAGED) if len(rows) else ():
            probabilities = read_probabilities(predictions.iloc[rows], classes, ending)
            block = score(labels, probabilities, classes, bootstrap=bootstrap, bins=bins, seed=seed)
            if majority is not None:
                block["ferplus"] = score_ferplus(labels, probabilities.argmax(axis=1), majority[rows])
            blocks[name + ending] = block
    return blocks


def flatten_scores(blocks: dict[str, Any]) -> dict[str, float]:
    """Return the scores as metrics of a run: `test_accuracy`, its `_low` and `_high`, and `test_recall_happy`."""
    flat: dict[str, float] = {}
    for name, block in blocks.items():
        for metric, estimate in block.items():
            if isinstance(estimate, dict) and "value" in estimate:
                flat |= {f"{name}_{metric}": estimate["value"]}
                flat |= {f"{name}_{metric}_{end}": estimate[end] for end in ("low", "high")}
        for label, scores in block["classes"].items():
            flat |= {f"{name}_{metric}_{label}": scores[metric]["value"] for metric in ("precision", "recall", "f1")}
    return flat
