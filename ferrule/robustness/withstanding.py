"""How much of its accuracy a model keeps when images are corrupted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ferrule.errors import DataError
from ferrule.metrics import NORMAL_QUANTILE, Estimate, confusion_matrix, f1, wilson
from ferrule.robustness.corruptions import CORRUPTIONS, SEVERITIES

_CHUNK = 1024  # images that are corrupted at once


def predict_corrupted(ask: Callable[[np.ndarray], np.ndarray], images: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the class ids, int (c, 6, n), that a model predicts for `images` under each corruption and severity.

    `images` is uint8 (n, 48, 48), `ask` gives probabilities (b, k) for a part of them. Severity 0 is asked once. What
    is drawn for an image is the same at every severity: only the amount grows.
    """
    predicted = np.empty((len(CORRUPTIONS), 1 + len(SEVERITIES), len(images)), int)
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        told = predicted[..., start : start + _CHUNK]
        told[:, 0] = ask(chunk).argmax(axis=1)
        for number, corruption in enumerate(CORRUPTIONS.values()):
            for severity in SEVERITIES:
                rng = np.random.default_rng([seed, number, start])
                told[number, severity] = ask(corruption.apply(chunk, severity, rng)).argmax(axis=1)
    return predicted


def tabulate_corruptions(labels: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return a row a corruption and severity: corruption, severity, amount, rows, accuracy, low, high, macro_f1.

    `labels` are class ids (n,), `predicted` is what `predict_corrupted` returns. Raises DataError without rows.
    """
    if not len(labels):
        raise DataError("Expected images to corrupt; got none; make a split that has validation images.")
    rows = []
    for (name, corruption), by_severity in zip(CORRUPTIONS.items(), predicted, strict=True):
        for severity, told in enumerate(by_severity):
            matrix = confusion_matrix(labels, told, len(classes))
            accuracy = wilson(np.trace(matrix), len(labels)).as_dict()
            rows.append(
                {
                    "corruption": name,
                    "severity": severity,
                    "amount": corruption.say_amount(severity),
                    "rows": len(labels),
                    "accuracy": accuracy.pop("value"),
                    **accuracy,
                    "macro_f1": _macro_f1(matrix),
                }
            )
    return pd.DataFrame(rows)


def summarize_corruptions(labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Return accuracies as {"value", "low", "high"}: clean, mean_corrupted, relative, and by_corruption.

    The mean is over all corruptions and severities 1 to 5, and `relative` is what it is of the clean accuracy. All the
    answers about an image hang together, so the intervals treat an image as one draw (normal approximation).
    """
    right = (predicted == labels).astype(float)
    clean, by_corruption = right[0, 0], right[:, 1:].mean(axis=1)
    corrupted = by_corruption.mean(axis=0)
    return {
        "rows": len(labels),
        "clean": wilson(clean.sum(), len(clean)).as_dict(),
        "mean_corrupted": _ratio(corrupted, np.ones(len(labels))).as_dict(),
        "relative": _ratio(corrupted, clean).as_dict(),
        "by_corruption": {
            name: _ratio(shares, np.ones(len(labels))).as_dict()
            for name, shares in zip(CORRUPTIONS, by_corruption, strict=True)
        },
    }


def _macro_f1(matrix: np.ndarray) -> float:
    """Return the mean F1 of the classes that occur."""
    hits = np.diagonal(matrix)
    errors = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * hits
    found = [f1(hit, error).value for hit, error in zip(hits, errors, strict=True) if hit + error]
    return round(float(np.mean(found)), 6)


def _ratio(parts: np.ndarray, wholes: np.ndarray) -> Estimate:
    """Return the sum of `parts` (n,) over that of `wholes` (n,), with the interval of a ratio of paired means."""
    if not wholes.any():
        return Estimate(0.0, 0.0, 1.0)
    ratio = parts.sum() / wholes.sum()
    half = NORMAL_QUANTILE * np.sqrt(np.sum((parts - ratio * wholes) ** 2)) / wholes.sum()
    return Estimate(ratio, max(0.0, ratio - half), ratio + half)
