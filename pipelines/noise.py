"""Stage noise: which labels of the training images may be wrong, by networks that were not trained on them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.charts.noise import suspect_sheet
from ferrule.charts.style import save_figure
from ferrule.emotions import class_ids
from ferrule.errors import DataError
from ferrule.metrics import ferplus_majority
from ferrule.noise.confident import judge_labels, rank_suspects, summarise_noise
from ferrule.noise.ferplus import measure_suspicion, name_majority
from ferrule.noise.out_of_fold import CrossFit, assign_folds, predict_out_of_fold
from ferrule.samples import TABLE_FILE
from pipelines.folders import fresh_folder
from pipelines.params import Params, pick
from pipelines.training_data import read_data

COLUMNS = [  # of suspects.csv
    "rank",
    "sample_id",
    "source_file",
    "source_row",
    "label",
    "suggested",
    "label_quality",
    "probability_label",
    "probability_suggested",
    "ferplus_majority",
]


def run(params: Params, root: Path) -> None:
    """Write out_of_fold.parquet, suspects.csv, suspects.png and noise.json.

    Only originals that train has are learned and asked about: no held-out image, nothing generated. Without a row, and
    with the reason in noise.json, where noise.folds is 0 or some class has too few images for so many folds: whoever
    trains with the labels as given needs none of it.
    """
    artifacts, classes, settings = root / "artifacts", params.ingest.classes, pick(CrossFit, params.noise)
    checkpoints = artifacts / ".noise-checkpoints"
    data = read_data(root, classes)
    originals = pd.read_parquet(artifacts / "augment" / TABLE_FILE).iloc[data.originals].reset_index(drop=True)
    folds, skipped = _assign(originals, classes, settings.folds, params.seed)
    rows, originals = data.originals[: len(folds)], originals[: len(folds)]
    probabilities = np.empty((0, len(classes)), np.float32)
    if not skipped:
        probabilities = predict_out_of_fold(
            data, folds, settings, seed=params.seed, backend=params.train.backend, checkpoints=checkpoints
        )
    table = tabulate_answers(originals, folds, probabilities, classes)
    listed = list_suspects(table, originals, classes).head(params.noise.suspects)
    summary = {"folds": settings.folds, "skipped": skipped, **summarise_noise(table, classes)}
    summary["ferplus"] = _measure(originals, table, classes)
    with fresh_folder(artifacts / "noise") as out:
        table.to_parquet(out / "out_of_fold.parquet", index=False)
        listed.to_csv(out / "suspects.csv", index=False, float_format="%.4f")
        save_figure(suspect_sheet(data.images[rows[listed.index]], listed, classes), out / "suspects.png")
        (out / "noise.json").write_text(json.dumps(summary, indent=2) + "\n")
    shutil.rmtree(checkpoints, ignore_errors=True)
    print(_say(summary))


def tabulate_answers(
    originals: pd.DataFrame, folds: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]
) -> pd.DataFrame:
    """Return the table of out_of_fold.parquet, row by row with `originals`, the samples' table of those asked about.

    `folds` (n,) and `probabilities` (n, k) are of these rows.
    """
    labels = np.array(class_ids(originals["label"], classes), int)
    said = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
    table = originals[["sample_id", "label"]].assign(fold=folds)
    return pd.concat([table, said, judge_labels(labels, probabilities, classes)], axis=1)


def list_suspects(table: pd.DataFrame, originals: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows of suspects.csv: what is suspected, ranked, with its source; the index is the row in `table`.

    `originals` has the rows of `table`; where it has FER+ votes, what most voters saw is told too.
    """
    said = table[[f"p_{name}" for name in classes]].to_numpy()
    listed = table.join(originals[["source_file", "source_row"]]).assign(
        probability_label=said[np.arange(len(said)), class_ids(table["label"], classes)],
        probability_suggested=said.max(axis=1),
    )
    if "votes_neutral" in originals:
        listed["ferplus_majority"] = name_majority(originals, classes)
    listed = rank_suspects(listed[listed["suspected"]])
    return listed.assign(rank=np.arange(1, len(listed) + 1))[[name for name in COLUMNS if name in (*listed, "rank")]]


def _assign(originals: pd.DataFrame, classes: tuple[str, ...], folds: int, seed: int) -> tuple[np.ndarray, str | None]:
    """Return the fold of each original and None; no row, and why, where there are to be none or can be none."""
    if not folds:
        return np.empty(0, int), "noise.folds is 0"
    labels = np.array(class_ids(originals["label"], classes), int)
    try:
        return assign_folds(labels, originals["group_id"].to_numpy(), folds, seed=seed), None
    except DataError as error:
        return np.empty(0, int), str(error).rstrip(".")


def _measure(originals: pd.DataFrame, table: pd.DataFrame, classes: tuple[str, ...]) -> dict | None:
    """Return how far FER+ votes bear out the suspicion; None without votes."""
    if "votes_neutral" not in originals:
        return None
    return measure_suspicion(table, ferplus_majority(originals, classes), classes)


def _say(summary: dict) -> str:
    """Return what was found, as a line."""
    if summary["skipped"]:
        return f"no label was looked at: {summary['skipped']}"
    accuracy = summary["accuracy"]["value"]
    line = f"{summary['suspected']:,} of {summary['rows']:,} training labels suspected ({summary['share']:.1%})"
    line += f"; out of fold {accuracy:.1%} of the labels are predicted"
    measured = summary["ferplus"]
    if measured:
        line += (
            f"; FER+ voters disagree with {measured['precision']['value']:.1%} of the {measured['precision_at']:,} "
            f"most suspect of those with a majority (and {measured['disagree']['value']:.1%} of all these), "
            f"ROC AUC {measured['auc']['value']:.3f}"
        )
    return line
