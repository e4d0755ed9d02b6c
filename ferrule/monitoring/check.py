"""What a look at the scored images concludes: drift or not, at a false alarm rate that holds over all looks.

Pure: tables in, a `Check` out. The chance of a false alarm is a budget that grows evenly with time, as in the spending
functions of Lan and DeMets (1983): each look may spend what has grown since the last one, and Holm's correction (1979)
shares it among the tests of the look. By the union bound the looks of one period together raise a false alarm with at
most the stated probability, however often one looks and however much the windows overlap.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from ferrule.emotions import class_ids
from ferrule.holm import holm
from ferrule.metrics import Estimate, calibration_error, wilson
from ferrule.monitoring.drift_tests import Finding, Limits, compare_images, compare_labelled
from ferrule.monitoring.windows import Window
from ferrule.predictions import read_probabilities

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BINS, _DRAWS = 15, 2000  # of the calibration error
_SMALLEST_P = 1e-12  # the approximations say nothing of smaller ones


@dataclass(frozen=True)
class Result(Finding):
    """A finding and what it means at this look: its p-value is Holm's, and `significant` is what is beyond chance."""

    significant: bool = False

    @property
    def drifted(self) -> bool:
        """Whether the effect is beyond both chance and its limit."""
        return self.significant and self.effect >= self.limit

    @property
    def p_text(self) -> str:
        """The p-value as "0.021", "3e-07" or "below 1e-12"."""
        if self.p_value < _SMALLEST_P:
            return f"below {_SMALLEST_P:g}"
        return f"{self.p_value:.0e}" if self.p_value < 0.001 else f"{self.p_value:.3f}"

    def __str__(self) -> str:
        return f"{self.name}, {self.change}"


@dataclass(frozen=True)
class Performance:
    """How good the model is on the images whose labels are known, with 95 % intervals."""

    labelled: int
    accuracy: Estimate
    reference_accuracy: float
    confidence: float  # mean
    calibration_error: Estimate


@dataclass(frozen=True)
class Check:
    """A look: `images` were compared, `new` of them for the first time, spending `alpha` of the period's budget."""

    moment: datetime
    images: int
    new: int
    alpha: float
    results: tuple[Result, ...]
    performance: Performance | None

    @property
    def drifted(self) -> tuple[Result, ...]:
        """The results that are drift."""
        return tuple(result for result in self.results if result.drifted)

    @property
    def headline(self) -> str:
        """What was found, in a word or two."""
        count = len(self.results)
        return f"Drift in {len(self.drifted)} of {count} tests" if self.drifted else f"No drift in {count} tests"

    @property
    def detail(self) -> str:
        """What drifted, or what came nearest to it."""
        if self.drifted:
            return "; ".join(map(str, self.drifted))
        nearest = max(self.results, key=lambda result: result.reach)
        return (
            f"nearest to its limit is {nearest.name} ({nearest.measure} {nearest.effect:.2f}, of {nearest.limit:.2f})"
        )

    @property
    def sentence(self) -> str:
        """Both, for a person."""
        return f"{self.headline}: {self.detail}."


def check_windows(
    reference: pd.DataFrame,
    images: Window | None,
    labelled: Window | None,
    limits: Limits,
    *,
    moment: datetime,
    alpha: float,
    seed: int,
) -> Check:
    """Compare a window of images, and one of labelled images, with the reference; one of them may be None, not both."""
    findings: list[Finding] = []
    if images:
        findings += compare_images(reference, images.table, limits, seed=seed)
    if labelled:
        findings += compare_labelled(reference, labelled.table, limits)
    return Check(
        moment=moment,
        images=len(images.table) if images else 0,
        new=images.new if images else 0,
        alpha=alpha,
        results=judge(findings, alpha),
        performance=measure_performance(reference, labelled.table, seed=seed) if labelled else None,
    )


def judge(findings: list[Finding], alpha: float) -> tuple[Result, ...]:
    """Return what each finding means at the significance level `alpha` of them all together."""
    adjusted = holm(np.array([finding.p_value for finding in findings]))
    return tuple(
        Result(**asdict(finding) | {"p_value": float(p_value)}, significant=bool(p_value <= alpha))
        for finding, p_value in zip(findings, adjusted, strict=True)
    )


def spend_alpha(now: datetime, last: datetime | None, *, rate: float, period: timedelta) -> float:
    """Return the significance level of a look at `now`: the part of `rate` that has grown since the `last` one.

    The last one is that at any version of the model: they share the budget, or each new champion would bring its own.
    Periods follow each other from 1970 on, and each begins with nothing: the looks of a period spend at most `rate`.
    """
    start = _EPOCH + (now - _EPOCH) // period * period
    since = max(start, last) if last else start
    return max(0.0, rate * ((now - since) / period))


def measure_performance(reference: pd.DataFrame, labelled: pd.DataFrame, *, seed: int) -> Performance:
    """Return accuracy and calibration of the labelled rows; both tables have `label`, `predicted` and `confidence`."""
    classes = tuple(name.removeprefix("probability_") for name in labelled.filter(like="probability_"))
    right = (labelled["label"] == labelled["predicted"]).sum()
    labels = np.array(class_ids(labelled["label"], classes))
    return Performance(
        labelled=len(labelled),
        accuracy=wilson(int(right), len(labelled)),
        reference_accuracy=float((reference["label"] == reference["predicted"]).mean()),
        confidence=float(labelled["confidence"].mean()),
        calibration_error=calibration_error(
            labels, read_probabilities(labelled, classes), bins=_BINS, draws=_DRAWS, seed=seed
        ),
    )
