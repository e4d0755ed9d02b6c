"""How good a classifier is, every score with its 95 % interval.

Scores are functions of `labels`, class ids (n,), and `probabilities`, (n, k) with rows that sum to 1. Proportions carry
Wilson's interval (Wilson 1927), F1 of a class that of Lam et al. 2023, what is averaged over classes or rows the
percentiles of a bootstrap over rows, and the calibration error one of its own, because its estimate is biased.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ferrule.emotions import FERPLUS_VOTES, parse_emotion
from ferrule.errors import DataError

LEVEL = 0.95
NORMAL_QUANTILE = 1.959964  # so many standard deviations, either way, hold LEVEL
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_SMALLEST = 1e-12  # a probability of 0 counts as this in the log loss
_CHUNK = 250  # resamples at a time, so that memory does not grow with their number


class Estimate(NamedTuple):
    """A score and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return the form that metrics.json holds."""
        return {name: round(float(number), 6) for name, number in self._asdict().items()}


def score(
    labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...], *, bootstrap: int, bins: int, seed: int
) -> dict[str, Any]:
    """Return every score as {"value", "low", "high"}: overall ones by name, those of a class under "classes".

    `bootstrap` is the number of resamples, `bins` that of the calibration error. Raises DataError without rows or where
    shapes disagree.
    """
    _require_scorable(labels, probabilities, classes)
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), len(classes))
    balanced, macro_f1 = _class_averages(matrix, bootstrap, seed)
    log_loss, brier = _row_averages(labels, probabilities, bootstrap, seed)
    overall = {
        "accuracy": wilson(np.trace(matrix), len(labels)),
        "balanced_accuracy": balanced,
        "macro_f1": macro_f1,
        "log_loss": log_loss,
        "brier": brier,
        "ece": calibration_error(labels, probabilities, bins=bins, draws=bootstrap, seed=seed),
    }
    return {
        "rows": len(labels),
        **{name: estimate.as_dict() for name, estimate in overall.items()},
        "classes": {name: _class_scores(matrix, number) for number, name in enumerate(classes)},
    }


def wilson(successes: float, trials: float) -> Estimate:
    """Return a proportion with Wilson's interval; nothing of nothing is 0, somewhere in [0, 1]."""
    if trials == 0:
        return Estimate(0.0, 0.0, 1.0)
    share, square = successes / trials, NORMAL_QUANTILE**2 / trials
    centre = (share + square / 2) / (1 + square)
    half = NORMAL_QUANTILE * np.sqrt(share * (1 - share) / trials + square / trials / 4) / (1 + square)
    low, high = (
        (centre - half if successes else 0.0),
        (centre + half if successes < trials else 1.0),
    )  # free of rounding
    return Estimate(share, low, high)


def f1(true_positives: float, errors: float) -> Estimate:
    """Return F1 from the true positives and the false ones of both kinds, with its interval.

    F1 = 2 J / (1 + J) grows with J, the share of true positives among the rows that are of the class or taken for it,
    and J is a proportion: its Wilson interval is carried over (Lam et al. 2023, arXiv:2309.14621, "Wilson indirect").
    """
    return Estimate(*(2 * share / (1 + share) for share in wilson(true_positives, true_positives + errors)))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Return counts, int (k, k): a row a true class, a column a predicted one."""
    return np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def calibration_table(labels: np.ndarray, probabilities: np.ndarray, *, bins: int) -> pd.DataFrame:
    """Return the reliability of the top class in bins of equal mass: count, confidence, accuracy, low, high.

    Bins end at quantiles of the confidence; equal confidences share one, so there may be fewer than `bins`.
    """
    confidence, correct, number = _bin_confidences(labels, probabilities, bins)
    rows = pd.DataFrame({"bin": number, "confidence": confidence, "correct": correct}).groupby("bin")
    table = rows.agg(count=("correct", "size"), confidence=("confidence", "mean"), hits=("correct", "sum"))
    estimates = [wilson(hits, count) for hits, count in zip(table["hits"], table["count"], strict=True)]
    accuracy = pd.DataFrame(estimates, columns=["accuracy", "low", "high"], index=table.index)
    return table.drop(columns="hits").join(accuracy).reset_index(drop=True)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, *, bins: int, draws: int, seed: int) -> Estimate:
    """Return the expected calibration error of the top class over bins of equal mass (Nguyen and O'Connor 2015).

    It adds up absolute gaps, so noise can only add: the estimate is too high, and a bootstrap around it misses the
    truth of a well calibrated model nearly always. Hence the low end is the smallest share of the gaps seen with which
    noise (normal, with each bin's own variance) still reaches the estimate in 2.5 % of `draws`; the high end needs no
    correction. In simulations the interval held the true error in 91 to 99 % of cases.
    """
    confidence, correct, number = _bin_confidences(labels, probabilities, bins)
    gaps = np.bincount(number, correct - confidence, bins)
    counts = np.bincount(number, minlength=bins)
    squares = np.bincount(number, (correct - confidence) ** 2, bins) - gaps**2 / np.maximum(counts, 1)
    spread = np.sqrt(np.maximum(squares, 0) * counts / np.maximum(counts - 1, 1))
    noise = np.random.default_rng([seed, 3]).standard_normal((draws, bins)) * spread
    seen = np.abs(gaps).sum()
    high = seen + NORMAL_QUANTILE * np.sqrt((spread**2).sum())
    ends = np.array([seen, _smallest_share(gaps, noise) * seen, high]) / len(labels)
    return Estimate(ends[0], ends[1], min(1.0, ends[2]))


def find_leak_free(table: pd.DataFrame) -> pd.Series:
    """Return which test rows of a split table have no exact or near copy offered for training or selection.

    `table` has `split` and `group_id`. Rows dropped as copies count like those kept: the answer is a property of the
    data, whatever `split.twins` does with it.
    """
    offered = table["split"].isin(["train", "val", "dropped"])
    return (table["split"] == "test") & ~offered.groupby(table["group_id"]).transform("any")


def ferplus_majority(votes: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """Return the class id (n,) that more than half of an image's FER+ votes name, or -1 where none of `classes` is.

    `votes` has the columns `votes_<name>` for the names of FERPLUS_VOTES.
    """
    counts = votes[[f"votes_{name}" for name in FERPLUS_VOTES]].fillna(0).to_numpy(float)
    ids = [classes.index(emotion) if (emotion := parse_emotion(name)) in classes else -1 for name in FERPLUS_VOTES]
    clear = 2 * counts.max(axis=1) > counts.sum(axis=1)
    return np.where(clear, np.array(ids)[counts.argmax(axis=1)], -1)


def score_ferplus(labels: np.ndarray, predicted: np.ndarray, majority: np.ndarray) -> dict[str, Any]:
    """Return how often the predictions, and the labels themselves, are what most FER+ voters saw.

    All are class ids (n,); only rows with a majority (not -1) count, and "rows" says how many.
    """
    voted = majority >= 0
    return {
        "rows": int(voted.sum()),
        "agreement": wilson((predicted == majority)[voted].sum(), voted.sum()).as_dict(),
        "label_agreement": wilson((labels == majority)[voted].sum(), voted.sum()).as_dict(),
    }


def _require_scorable(labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> None:
    if len(labels) == 0 or probabilities.shape != (len(labels), len(classes)):
        raise DataError(
            f"Expected labels (n,) and probabilities (n, {len(classes)}) with n > 0; got {labels.shape} and "
            f"{probabilities.shape}; score a split that has rows with a model of these classes."
        )


def _class_averages(matrix: np.ndarray, bootstrap: int, seed: int) -> tuple[Estimate, Estimate]:
    """Return balanced accuracy and macro F1 with percentile intervals.

    Drawing rows with replacement draws the cells of the confusion matrix from a multinomial, which is quicker.
    """
    resamples = np.random.default_rng([seed, 1]).multinomial(matrix.sum(), matrix.ravel() / matrix.sum(), bootstrap)
    values, drawn = _average_classes(matrix), _average_classes(resamples.reshape(-1, *matrix.shape))
    balanced, macro_f1 = (_with_percentiles(value, draws) for value, draws in zip(values, drawn, strict=True))
    return balanced, macro_f1


def _average_classes(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean recall and mean F1 of (…, k, k) matrices over the classes that occur, as scikit-learn does."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    actual, predicted = matrices.sum(axis=-1), matrices.sum(axis=-2)
    return _mean_ratio(hits, actual), _mean_ratio(2 * hits, actual + predicted)


def _mean_ratio(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of the ratios whose denominator is not 0."""
    occurs = denominators > 0
    return (numerators / np.where(occurs, denominators, 1) * occurs).sum(axis=-1) / occurs.sum(axis=-1)


def _row_averages(
    labels: np.ndarray, probabilities: np.ndarray, bootstrap: int, seed: int
) -> tuple[Estimate, Estimate]:
    """Return log loss (natural logarithm) and Brier score (sum over classes, 0 to 2) with percentile intervals."""
    given = probabilities[np.arange(len(labels)), labels].astype(float)
    losses = -np.log(np.maximum(given, _SMALLEST))
    squares = np.square(probabilities, dtype=float).sum(axis=1) - 2 * given + 1
    values = np.stack([losses, squares])
    rng, rows, means = np.random.default_rng([seed, 2]), len(labels), []
    for start in range(0, bootstrap, _CHUNK):
        drawn = rng.integers(0, rows, (min(_CHUNK, bootstrap - start), rows))
        means.append(values[:, drawn].mean(axis=-1))
    draws = np.concatenate(means, axis=1)
    return _with_percentiles(losses.mean(), draws[0]), _with_percentiles(squares.mean(), draws[1])


def _with_percentiles(value: Any, draws: np.ndarray) -> Estimate:
    return Estimate(float(value), *np.quantile(draws, _TAILS))


def _class_scores(matrix: np.ndarray, number: int) -> dict[str, Any]:
    """Return the scores of one class; a class never predicted has precision 0, as in scikit-learn."""
    hits, actual, predicted = matrix[number, number], matrix[number].sum(), matrix[:, number].sum()
    return {
        "rows": int(actual),
        "precision": wilson(hits, predicted).as_dict(),
        "recall": wilson(hits, actual).as_dict(),
        "f1": f1(hits, actual + predicted - 2 * hits).as_dict(),
    }


def _bin_confidences(
    labels: np.ndarray, probabilities: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the top probability, whether the top class is right (0 or 1), and the bin of equal mass, each (n,)."""
    confidence = probabilities.max(axis=1).astype(float)
    correct = (probabilities.argmax(axis=1) == labels).astype(float)
    edges = np.quantile(confidence, np.arange(1, bins) / bins)
    return confidence, correct, np.searchsorted(edges, confidence, side="right")


def _smallest_share(gaps: np.ndarray, noise: np.ndarray) -> float:
    """Return the smallest t in [0, 1] with which the 97.5 % quantile of sum |t gaps + noise| reaches sum |gaps|."""
    low, high = 0.0, 1.0
    if np.quantile(np.abs(noise).sum(axis=1), _TAILS[1]) >= np.abs(gaps).sum():
        return 0.0
    for _ in range(20):
        middle = (low + high) / 2
        reached = np.quantile(np.abs(middle * gaps + noise).sum(axis=1), _TAILS[1]) >= np.abs(gaps).sum()
        low, high = (low, middle) if reached else (middle, high)
    return high
