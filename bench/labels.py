"""How good the suspicion of wrong labels is, and what cleaned or softened labels do to a model, in several trainings.

    python -m bench.labels --seeds 3 --write docs/labels.md

Needs the stages augment, split and noise, and FER+ votes (docs/data.md) for all that is said of them. The first table
is what noise.json says. For the second the recipe that params.yaml names is trained with each way to take labels, and
asked about the validation images, whose own labels stay as they are; --seeds 0 leaves it out. The trainings lie in
artifacts/.trials: what is there is not trained again, here or by bench.balancing, and one that was killed goes on.
Each takes as long as the recipe: on FER-2013 `quick` 4 to 8 minutes.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from bench.tables import show_tables
from bench.trials import FOLDER, INTERVALS, SEED_STEP, answer
from ferrule.batches import TrainingData
from ferrule.documents import say_score, say_share, say_spread, write_table
from ferrule.errors import DataError
from ferrule.metrics import LEVEL, ferplus_majority, score
from ferrule.samples import TABLE_FILE
from ferrule.settings import TrainSettings
from pipelines.folders import read_json
from pipelines.params import load_params
from pipelines.training_data import read_data

WAYS = ("given", "cleaned", "ferplus_soft")

_HEAD = ("labels", "originals", "accuracy", "difference", "macro F1", "agrees with FER+ voters", "difference")


@dataclass(frozen=True)
class Truth:
    """What the answers on the validation images are held to: class ids (v,), -1 where most voters name no class."""

    labels: np.ndarray
    majority: np.ndarray | None


def main() -> int:
    """Print the tables, or write them; return the exit status."""
    options = {"seeds": {"type": int, "default": 1, "metavar": "N", "help": "trainings of each way (default: 1)"}}
    return show_tables("labels", "docs/labels.md", __doc__, measure_project, options)


def measure_project(root: Path, seeds: int) -> str:
    """Return the tables for the project in `root`."""
    tables = [tabulate_suspicion(read_json(root / "artifacts" / "noise" / "noise.json"))]
    if seeds:
        params = load_params(root)
        classes = params.ingest.classes
        table = pd.read_parquet(root / "artifacts" / "augment" / TABLE_FILE)
        voted = "votes_neutral" in table
        ways = {way: read_data(root, classes, way) for way in WAYS if voted or way != "ferplus_soft"}
        val = ways["given"].val
        majority = ferplus_majority(table.iloc[val], classes) if voted else None
        settings = TrainSettings(seed=params.seed, **asdict(params.train))
        truth = Truth(ways["given"].labels[val], majority)
        tables.append(compare_ways(ways, truth, classes, settings, seeds, root / FOLDER))
    return "\n\n".join(tables)


def tabulate_suspicion(summary: Mapping[str, Any]) -> str:
    """Return noise.json as a Markdown table, a line a fact; raises DataError where no label was looked at."""
    if summary["skipped"]:
        raise DataError(f"Expected labels that the stage noise has looked at; it did not: {summary['skipped']}.")
    facts = [
        ("training labels looked at", f"{summary['rows']:,}"),
        ("suspected", f"{summary['suspected']:,} ({say_share(summary['share'])})"),
        ("labels predicted out of fold", say_score(summary["accuracy"])),
    ]
    measured = summary["ferplus"]
    if measured:
        auc = measured["auc"]
        facts += [
            ("labels on which most FER+ voters agree on a class", f"{measured['rows']:,}"),
            ("of these, voters see another class than the label", say_score(measured["disagree"])),
            (f"the same, of the {measured['precision_at']:,} most suspect of them", say_score(measured["precision"])),
            (
                f"the same, of the {measured['suspected']['rows']:,} suspected among them",
                say_score(measured["suspected"]),
            ),
            ("ROC AUC of telling them by the label's quality", "{value:.3f} ({low:.3f} to {high:.3f})".format(**auc)),
            (
                f"of the {measured['without_majority']['rows']:,} most suspect of all, those without such a majority",
                say_score(measured["without_majority"]),
            ),
        ]
    return write_table(("training images", ""), facts)


def compare_ways(
    ways: Mapping[str, TrainingData],
    truth: Truth,
    classes: tuple[str, ...],
    settings: TrainSettings,
    seeds: int,
    folder: Path,
) -> str:
    """Train each of `ways`, the first of them "given", from each of `seeds` seeds; return the Markdown table."""
    said: dict[str, list[np.ndarray]] = {way: [] for way in ways}
    for number in range(seeds):
        for way, data in ways.items():
            own = replace(settings, seed=settings.seed + number * SEED_STEP, labels=way)
            said[way].append(answer(data, own, folder)[1])
    rows = [
        [way, f"{len(ways[way].originals):,}", *_compare(np.stack(answers), np.stack(said["given"]), truth, classes)]
        for way, answers in said.items()
    ]
    return write_table(_HEAD, rows)


def estimate_difference(hits: np.ndarray, others: np.ndarray) -> tuple[float, float, float]:
    """Return by how much more of the images are hits than of the others, and the ends of the 95 % interval.

    Both are bool (seeds, images), of the same images. The variances of the two samples that were drawn add up: that of
    the images, of the mean over the seeds, and that of the seeds, of the mean over the images. A few seeds tell little
    of the latter, hence Student's t, with Satterthwaite's (1946) degrees of freedom.
    """
    gaps = hits.astype(float) - others
    parts = [part for part in (gaps.mean(axis=0), gaps.mean(axis=1)) if len(part) > 1]
    variances = np.array([part.var(ddof=1) / len(part) for part in parts])
    half = 0.0
    if variances.any():
        freedom = variances.sum() ** 2 / sum(variances**2 / [len(part) - 1 for part in parts])
        half = t.ppf((1 + LEVEL) / 2, freedom) * variances.sum() ** 0.5
    return gaps.mean(), gaps.mean() - half, gaps.mean() + half


def _compare(answers: np.ndarray, given: np.ndarray, truth: Truth, classes: tuple[str, ...]) -> list[str]:
    """Return the cells of a row after its images; probabilities are (seeds, v, k)."""
    f1 = [score(truth.labels, each, classes, **INTERVALS)["macro_f1"]["value"] for each in answers]
    return [*_hold(answers, given, truth.labels), say_spread(f1), *_hold(answers, given, truth.majority)]


def _hold(answers: np.ndarray, given: np.ndarray, to: np.ndarray | None) -> list[str]:
    """Return how many answers are what they are held `to`, and by how much more than with the labels given."""
    if to is None:
        return ["", ""]
    hits, others = ((each.argmax(axis=2) == to)[:, to >= 0] for each in (answers, given))
    value, low, high = (100 * part for part in estimate_difference(hits, others))
    same = np.array_equal(answers, given)
    return [say_spread(hits.mean(axis=1)), "" if same else f"{value:+.1f} ({low:+.1f} to {high:+.1f})"]


if __name__ == "__main__":
    sys.exit(main())
