"""What a model's confidence is worth: the temperature that makes it honest, and when to say nothing.

Everything is chosen on validation images; of test images it is only told what came of it.
"""

from typing import Any

import numpy as np
import pandas as pd

from ferrule.calibration import calibrate_predictions
from ferrule.emotions import class_ids
from ferrule.predictions import AVERAGED, PLAIN, read_probabilities, score_predictions
from ferrule.scoring.abstention import CERTAINTY, answer_above, tabulate_abstention, tabulate_curve

CALIBRATED = ("log_loss", "brier", "ece")  # the scores that a temperature changes
SHOWN = (0.8, 0.9)  # targets of which it is told what came of them on the test images


def describe_confidence(
    predictions: pd.DataFrame, votes: pd.DataFrame, classes: tuple[str, ...], metrics: dict[str, Any], **settings: int
) -> dict[str, Any]:
    """Return what calibration.json holds (docs/artifacts.md), of the table of predictions.

    `metrics` are the scores of these predictions, and `votes` and `settings` what `score_predictions` made them with.
    Raises DataError where there are no val rows.
    """
    calibrated, temperatures = calibrate_predictions(predictions, classes)
    after = score_predictions(calibrated, votes, classes, **settings)
    labels, probabilities = read_split(calibrated, classes, "val")
    abstention = tabulate_abstention(labels, probabilities)
    return {
        "temperature": temperatures[PLAIN],
        "temperature_tta": temperatures[AVERAGED],
        "scores": {
            name: {score: {"before": block[score], "after": after[name][score]} for score in CALIBRATED}
            for name, block in metrics.items()
        },
        "certainty": CERTAINTY,
        "abstention": abstention,
        "curve": tabulate_curve(labels, probabilities),
        "test": _answer_test(calibrated, classes, abstention),
    }


def say_confidence(confidence: dict[str, Any]) -> str:
    """Return the temperature, the calibration error before and after it, and what is answered at the targets SHOWN."""
    before, after = (confidence["scores"]["test"]["ece"][when]["value"] for when in ("before", "after"))
    answered = "; ".join(
        f"to be right in {rule['target']:.0%} it answers {rule['coverage'] or 0:.1%} of them"
        for rule in select_rules(confidence)
    )
    return (
        f"calibration error on test images {before:.1%}, and {after:.1%} at the temperature "
        f"{confidence['temperature']:.3f} that was fitted on val images; {answered}"
    ).replace("%", " %")


def select_rules(confidence: dict[str, Any], targets: tuple[float, ...] = SHOWN) -> list[dict[str, Any]]:
    """Return the rules of abstention, as they were chosen on val images, for these targets."""
    return [rule for rule in confidence["abstention"] if rule["target"] in targets]


def read_split(predictions: pd.DataFrame, classes: tuple[str, ...], split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the class ids (n,) and plain probabilities (n, k) of the rows of a split."""
    rows = predictions[predictions["split"] == split]
    return np.array(class_ids(rows["label"], classes), dtype=int), read_probabilities(rows, classes)


def _answer_test(
    calibrated: pd.DataFrame, classes: tuple[str, ...], abstention: list[dict[str, float | None]]
) -> list[dict[str, float | int | None]]:
    """Return what the thresholds of the targets SHOWN give on test images, as `answer_above` and with the target."""
    labels, probabilities = read_split(calibrated, classes, "test")
    return [
        {"target": rule["target"], "threshold": rule["threshold"]}
        | answer_above(labels, probabilities, np.inf if rule["threshold"] is None else rule["threshold"])
        for rule in abstention
        if rule["target"] in SHOWN
    ]
