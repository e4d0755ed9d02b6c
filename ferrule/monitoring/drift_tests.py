"""Tests of drift: whether a window of scored images differs from the reference, and by how much.

Each test gives an effect size, which does not grow with the number of images, and a p-value, which says whether the
effect could be chance; an alarm needs both. What is compared is what Rabanser et al. 2019 ("Failing Loudly") found to
see most: the classifier's own outputs, one by one, and its features, all at once.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ferrule.errors import DataError
from ferrule.monitoring.changes import say_accuracy, say_calibration, say_classes, say_embeddings, say_values
from ferrule.monitoring.reference import VALUES

COMPONENTS = 32  # principal components of the embeddings that are looked at
MIN_EXPECTED = 5  # images of a class in the window, for the chi-square approximation (Cochran 1954)

_RIDGE = 0.1  # added to the variance of each component, which is 1 in the reference


@dataclass(frozen=True)
class Limits:
    """How large an effect must be, at least, to be drift; each in the unit of its measure."""

    min_class_shift: float  # total variation distance
    min_value_shift: float  # Kolmogorov-Smirnov distance
    min_embedding_auc: float  # area under the ROC curve
    min_accuracy_loss: float  # difference of shares
    min_calibration_gap: float  # difference of shares


@dataclass(frozen=True)
class Finding:
    """What one test says: `effect` in the unit of `measure`, `limit` to hold it against, and its p-value.

    `chance` is the effect where nothing differs; `change` tells a person what differs, which way and how far.
    """

    name: str
    measure: str
    effect: float
    limit: float
    p_value: float
    chance: float = 0.0
    change: str = ""

    @property
    def reach(self) -> float:
        """How far the effect is on the way from chance to its limit: 1 there, more beyond."""
        return (self.effect - self.chance) / (self.limit - self.chance)


def compare_images(reference: pd.DataFrame, window: pd.DataFrame, limits: Limits, *, seed: int) -> list[Finding]:
    """Return six findings: predicted classes, confidence, brightness, contrast, sharpness and embeddings.

    Both tables have a row an image and the columns `predicted`, those of VALUES and `embedding` (d floats). Raises
    DataError where the embeddings are of another length.
    """
    classes = compare_classes(reference["predicted"], window["predicted"], limits.min_class_shift)
    values = [compare_values(name, reference[name], window[name], limits.min_value_shift) for name in VALUES]
    one, other = stack_embeddings(reference), stack_embeddings(window)
    return [classes, *values, compare_embeddings(one, other, limits.min_embedding_auc, seed=seed)]


def compare_labelled(reference: pd.DataFrame, window: pd.DataFrame, limits: Limits) -> list[Finding]:
    """Return two findings on images whose labels are known: accuracy lost, and confidence beyond accuracy.

    Both tables have `label`, `predicted` and `confidence`. Accuracy is compared with the reference's (Fisher's exact
    test, one-sided: a gain is no drift); the mean confidence is compared with the accuracy in the window itself (a
    normal approximation to the sum of what a calibrated model would get right).
    """
    known, seen = (table["label"].eq(table["predicted"]).to_numpy() for table in (reference, window))
    counts = [[(~seen).sum(), seen.sum()], [(~known).sum(), known.sum()]]
    accuracy = stats.fisher_exact(counts, alternative="greater").pvalue
    confidence = window["confidence"].to_numpy(float)
    spread = np.sqrt(np.sum(confidence * (1 - confidence)))
    beyond = np.sum(confidence - seen) / max(spread, 1e-12)
    loss, gap = float(known.mean() - seen.mean()), float(abs(confidence.mean() - seen.mean()))
    return [
        Finding(
            "accuracy",
            "accuracy lost",
            loss,
            limits.min_accuracy_loss,
            float(accuracy),
            change=say_accuracy(known.mean(), seen.mean()),
        ),
        Finding(
            "calibration",
            "confidence against accuracy",
            gap,
            limits.min_calibration_gap,
            _two_sided(beyond),
            change=say_calibration(confidence.mean(), seen.mean()),
        ),
    ]


def compare_classes(reference: pd.Series, window: pd.Series, limit: float) -> Finding:
    """Compare the shares of classes: total variation distance (0 to 1), and a chi-square test of homogeneity.

    For the test, the rarest classes count as one until each is expected MIN_EXPECTED times in the window.
    """
    counts = pd.DataFrame({"reference": reference.value_counts(), "window": window.value_counts()}).fillna(0)
    shares = counts / counts.sum()
    merged = _merge_rare(counts)
    p_value = stats.chi2_contingency(merged.T, correction=False).pvalue if len(merged) > 1 else 1.0
    distance = (shares["reference"] - shares["window"]).abs().sum() / 2
    change = say_classes(reference, window)
    return Finding("classes", "total variation distance", float(distance), limit, float(p_value), change=change)


def compare_values(name: str, reference: pd.Series, window: pd.Series, limit: float) -> Finding:
    """Compare two distributions of a number: Kolmogorov-Smirnov distance (0 to 1) and its asymptotic test."""
    result = stats.ks_2samp(reference.to_numpy(float), window.to_numpy(float), method="asymp")
    change, effect = say_values(name, reference, window), float(result.statistic)
    return Finding(name, "Kolmogorov-Smirnov distance", effect, limit, float(result.pvalue), change=change)


def compare_embeddings(reference: np.ndarray, window: np.ndarray, limit: float, *, seed: int) -> Finding:
    """Compare embeddings (n, d) and (m, d) by a classifier two-sample test (Lopez-Paz and Oquab 2017).

    A linear discriminant is fitted to tell one half of the window from one half of the reference, on COMPONENTS
    whitened principal components of the reference, and asked about the other halves; then the halves change places. The
    effect is the mean area under the ROC curve (0.5: nobody can tell them apart), the p-value twice the smaller one of
    the two Mann-Whitney tests (Bonferroni, since the halves share their images).
    """
    rng, halves = np.random.default_rng(seed), []
    for part in _whiten(reference, window):
        shuffled = part[rng.permutation(len(part))]
        halves.append((shuffled[::2], shuffled[1::2]))
    asked = [_tell_apart(halves[0][fit], halves[1][fit], halves[0][1 - fit], halves[1][1 - fit]) for fit in (0, 1)]
    areas, p_values = zip(*asked, strict=True)
    area, p_value = float(np.mean(areas)), min(1.0, 2 * min(p_values))
    return Finding("embeddings", "ROC area", area, limit, p_value, chance=0.5, change=say_embeddings(area))


def stack_embeddings(table: pd.DataFrame) -> np.ndarray:
    """Return the column `embedding` as float64 (n, d)."""
    return np.stack(table["embedding"].to_list()).astype(np.float64)


def _merge_rare(counts: pd.DataFrame) -> pd.DataFrame:
    """Return counts in which the rarest classes are added up until each row is expected MIN_EXPECTED times."""
    share = counts["window"].sum() / counts.to_numpy().sum()
    ordered = counts.assign(expected=counts.sum(axis=1) * share).sort_values("expected")
    group = (ordered["expected"].cumsum() >= MIN_EXPECTED).cumsum()  # 0 for all that are too rare, even together
    group = group.clip(lower=1) if (group > 0).any() else group
    return ordered[["reference", "window"]].groupby(group.to_numpy()).sum()


def _whiten(reference: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both in the first principal components of the reference, each scaled to a variance of 1 there."""
    if reference.shape[1] != window.shape[1]:
        raise DataError(
            f"Expected embeddings of {reference.shape[1]} numbers, as in the reference; got {window.shape[1]}; "
            "they are of another model: score the images again."
        )
    centre = reference.mean(axis=0)
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(reference, rowvar=False)))
    kept = np.flatnonzero(variances > 1e-9 * variances.max())[-COMPONENTS:]
    scaled = directions[:, kept] / np.sqrt(variances[kept])
    return (reference - centre) @ scaled, (window - centre) @ scaled


def _tell_apart(
    reference: np.ndarray, window: np.ndarray, reference_held: np.ndarray, window_held: np.ndarray
) -> tuple[float, float]:
    """Fit a discriminant to the first two, and return ROC area and one-sided p-value of it on the held out two."""
    apart = window.mean(axis=0) - reference.mean(axis=0)
    within = np.concatenate([reference - reference.mean(axis=0), window - window.mean(axis=0)])
    covariance = within.T @ within / max(len(within) - 2, 1) + _RIDGE * np.eye(within.shape[1])
    direction = np.linalg.solve(covariance, apart)
    result = stats.mannwhitneyu(
        window_held @ direction, reference_held @ direction, alternative="greater", method="asymptotic"
    )
    return float(result.statistic) / (len(window_held) * len(reference_held)), float(result.pvalue)


def _two_sided(z: float) -> float:
    return float(2 * stats.norm.sf(abs(z)))
