"""What changed from one evaluation to another: the scores of both, and whether chance explains the difference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ferrule.documents import write_table
from ferrule.promotion.candidates import Candidate, find_obstacle, pair_predictions
from ferrule.promotion.comparison import LOWER_IS_BETTER, compare
from ferrule.promotion.contest import SCORES, tabulate_comparison
from ferrule.report.model import BLOCKS
from ferrule.report.rivals import judge_comparison

HERE = "This run"
_BLOCKS = ("test", "test_tta", "val")
_SHARE, _AVERAGED = "probability_", "_tta"  # what columns of probabilities begin and end with
_PLAIN = ("log_loss",)  # no share, so not in points


@dataclass(frozen=True)
class Evaluation:
    """An evaluation: metrics.json or headline.json, and the tables beside it where they are at hand."""

    metrics: Mapping[str, Any]
    predictions: pd.DataFrame | None = None
    seen: pd.DataFrame | None = None


def describe_changes(
    here: Evaluation, there: Evaluation, name: str, classes: tuple[str, ...], settings: Mapping[str, int]
) -> str:
    """Return as Markdown how the scores of `here` differ from those of `there`, which people know as `name`.

    Where both predictions are at hand they are compared image by image, with `settings` as `comparison.compare` takes
    them; scores alone cannot say whether a difference is more than chance.
    """
    told = [f"### Against {name}", _tabulate_changes(here.metrics, there.metrics, name)]
    return "\n\n".join([*told, *_compare_images(here, there, name, classes, settings)])


def _tabulate_changes(here: Mapping[str, Any], there: Mapping[str, Any], name: str) -> str:
    """Return a row for each score that both have."""
    rows = []
    for block in _BLOCKS:
        for score in SCORES:
            if score in here.get(block, {}) and score in there.get(block, {}):
                values = _read_value(here[block][score]), _read_value(there[block][score])
                rows.append((f"{SCORES[score]}, {BLOCKS[block]}", *_say_change(score, *values)))
    return write_table(("", HERE.lower(), name, "difference", ""), rows)


def _read_value(score: Any) -> float:
    """Return a score, which metrics.json holds with its interval and headline.json without."""
    return float(score["value"] if isinstance(score, Mapping) else score)


def _say_change(score: str, here: float, there: float) -> tuple[str, ...]:
    """Return both values, their difference, and whether that is for the better."""
    scale, digits, unit = (1, 3, "") if score in _PLAIN else (100, 1, " %")
    gain = there - here if score in LOWER_IS_BETTER else here - there
    same = round(scale * abs(gain), digits) == 0
    values = [f"{scale * value:.{digits}f}{unit}" for value in (here, there)]
    return *values, f"{scale * (here - there):+.{digits}f}", "" if same else "better" if gain > 0 else "worse"


def _compare_images(
    here: Evaluation, there: Evaluation, name: str, classes: tuple[str, ...], settings: Mapping[str, int]
) -> list[str]:
    """Return what the predictions on the same images say, or why they say nothing."""
    one, other = (_as_candidate(each, classes) for each in (here, there))
    if one.predictions is None or other.predictions is None:
        return ["The predictions of one of the two are not at hand, so nothing says whether this is more than chance."]
    said = None if find_obstacle(one, other) else pair_predictions(one, other)
    if said is None:
        return ["The two have other classes or other test images: the scores are of different questions."]
    found = compare(said, **settings)
    return [judge_comparison(found, HERE, name).text, tabulate_comparison(found, HERE.lower(), name)]


def _as_candidate(evaluation: Evaluation, classes: tuple[str, ...]) -> Candidate:
    """Return an evaluation in the form in which versions are compared; what stands before a gate alone is left out."""
    both = evaluation.predictions is not None and evaluation.seen is not None
    names = tuple(column.removeprefix(_SHARE) for column in _list_shares(evaluation.predictions)) if both else classes
    return Candidate(
        version="",
        validated=True,
        missing=(),
        accuracy=0.0,
        recalls=dict.fromkeys(names, 0.0),
        predictions=evaluation.predictions if both else None,
        seen=evaluation.seen["pixel_hash"] if both and evaluation.seen is not None else None,
        export=None,
    )


def _list_shares(predictions: pd.DataFrame | None) -> list[str]:
    """Return the columns of plain probabilities."""
    columns = [] if predictions is None else list(predictions.columns)
    return [name for name in columns if name.startswith(_SHARE) and not name.endswith(_AVERAGED)]
