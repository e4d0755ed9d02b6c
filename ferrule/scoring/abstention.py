"""When to say nothing: a threshold on confidence above which a model's answers are as accurate as was asked for.

Geifman & El-Yaniv 2017, "Selective Classification for Deep Neural Networks": of the thresholds that held-out images
offer, take the one that answers most of them while a lower bound of the accuracy still reaches the target. The plain
rule, accuracy itself at the target, would miss the target on new images about every second time.
"""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ferrule.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TARGETS = tuple(percent / 100 for percent in range(50, 100))  # accuracies that one may ask of the answers
CERTAINTY = 0.95  # that an accuracy which was asked for is truly reached, where nothing else is said


@dataclass(frozen=True)
class Abstention:
    """A threshold on confidence, and what it gives on the held-out images that it was chosen on.

    At or above it a model answers; None: no threshold reaches the target, so it never does. `coverage` is the share of
    images that are answered, `accuracy` is of these, and `lower` bounds it from below.
    """

    target: float
    threshold: float | None
    coverage: float | None = None
    accuracy: float | None = None
    lower: float | None = None

    def abstains(self, confidence: np.ndarray) -> np.ndarray:
        """Return which of the images with this `confidence` (n,) are not answered, bool (n,)."""
        return confidence < (np.inf if self.threshold is None else self.threshold)


def choose_threshold(
    labels: np.ndarray, probabilities: np.ndarray, target: float, *, certainty: float = CERTAINTY
) -> Abstention:
    """Return the threshold that answers most images and is as accurate as `target` with probability `certainty`.

    `labels` are class ids (n,), `probabilities` calibrated (n, k), of images that were not trained on. Thresholds are
    searched by halving, as their accuracy falls with their coverage; the exact binomial bound (Clopper & Pearson 1934)
    at each of the log2(n) steps has its share of what is left of `certainty` (Bonferroni). Raises DataError as
    `risk_coverage` does.
    """
    curve = risk_coverage(labels, probabilities)
    tail = (1 - certainty) / len(curve).bit_length()
    low, high, best = 0, len(curve) - 1, None
    while low <= high:
        middle = (low + high) // 2
        if _lower_bound(curve.iloc[middle], tail) >= target:
            low, best = middle + 1, curve.iloc[middle]
        else:
            high = middle - 1
    if best is None:
        return Abstention(target, None)
    return Abstention(
        target, float(best["threshold"]), float(best["coverage"]), float(best["accuracy"]), _lower_bound(best, tail)
    )


def tabulate_abstention(
    labels: np.ndarray, probabilities: np.ndarray, certainty: float = CERTAINTY
) -> list[dict[str, float | None]]:
    """Return the fields of the `Abstention` for each of TARGETS, as `choose_threshold` finds it on these images."""
    return [asdict(choose_threshold(labels, probabilities, target, certainty=certainty)) for target in TARGETS]


def tabulate_curve(labels: np.ndarray, probabilities: np.ndarray, points: int = 100) -> list[dict[str, float]]:
    """Return at most `points` of the risk-coverage curve, evenly spread over coverage; the last answers every image.

    Each has `coverage`, `accuracy` and `threshold`. Raises DataError as `risk_coverage` does.
    """
    curve = risk_coverage(labels, probabilities)
    wanted = np.arange(1, points + 1) / points
    rows = np.unique(np.searchsorted(curve["coverage"].to_numpy(), wanted - 1e-12).clip(max=len(curve) - 1))
    chosen: list[dict[str, Any]] = curve.iloc[rows][["coverage", "accuracy", "threshold"]].to_dict("records")
    return chosen


def answer_above(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, float | int | None]:
    """Return what a threshold gives on these images: their `rows`, `coverage`, and `accuracy` (None: none answered)."""
    answered = probabilities.max(axis=1) >= threshold
    right = probabilities[answered].argmax(axis=1) == labels[answered]
    accuracy = float(right.mean()) if len(right) else None
    return {"rows": len(labels), "coverage": float(answered.mean()), "accuracy": accuracy}


def risk_coverage(labels: np.ndarray, probabilities: np.ndarray) -> "pd.DataFrame":
    """Return the risk-coverage curve: a row a threshold, from the most confident image to all of them.

    `threshold` is a confidence that some image has; `answered` counts those at or above it, `coverage` is their share,
    `correct` how many of them are right, `accuracy` its share (the risk is 1 less that). Raises DataError without rows
    or where shapes disagree.
    """
    if len(labels) == 0 or probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise DataError(
            f"Expected labels (n,) and probabilities (n, k) with n > 0; got {np.shape(labels)} and "
            f"{probabilities.shape}; choose the threshold on a split that has rows."
        )
    import pandas as pd

    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    ranked, right = confidence[order], np.cumsum((probabilities.argmax(axis=1) == labels)[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of equal confidences all are answered, or none
    answered = last + 1
    return pd.DataFrame(
        {
            "threshold": ranked[last],
            "answered": answered,
            "coverage": answered / len(labels),
            "correct": right[last],
            "accuracy": right[last] / answered,
        }
    )


def _lower_bound(point: "pd.Series", tail: float) -> float:
    """Return the accuracy at a point of the curve that the true one is below with probability `tail` at most."""
    from scipy.stats import beta

    correct, answered = point["correct"], point["answered"]
    return float(beta.ppf(tail, correct, answered - correct + 1)) if correct else 0.0
