"""A row of the table: two ways measured in turn, A B A B and so on, and the median of their ratio pair by pair.

Whatever else the machine does meanwhile hits both ways of a pair alike, so a ratio says more than either figure.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from bench.limits import Limits
from ferrule.errors import FerruleError
from ferrule.samples import Samples, load_samples

Figure = TypeVar("Figure")

ROOT = Path(__file__).parents[1]
SMALLER_IS_BETTER = ("s", "MB")
LARGER_IS_BETTER = ("images/s", "%")


class BenchmarkError(FerruleError):
    """A benchmark that failed; its last line says how."""


class SkippedError(FerruleError):
    """A benchmark that cannot be measured here; the sentence says why."""


@dataclass(frozen=True)
class Setup:
    """What a benchmark measures with: a folder to write in, what the machine can do, how many pairs to measure.

    In `folder` lie the samples, if the benchmark needs any, with `label` and `usage` for all of them; `source` says
    what they are.
    """

    folder: Path
    source: str
    limits: Limits
    runs: int

    @cached_property
    def samples(self) -> Samples:
        """The images, memory-mapped."""
        return load_samples(self.folder)


@dataclass(frozen=True)
class Row:
    """One comparison: the medians of both ways in `unit`, and how many times better Ferrule is.

    `ratio` is the median of the ratios of `runs` pairs, `low` and `high` are the least and the largest of them; above 1
    Ferrule is better, whether the unit is a time or a rate. `limit`, in the same unit, is what nothing of this kind can
    be better than on this machine, for the reason `limit_is`.
    """

    name: str
    against: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    runs: int
    limit: float | None = None
    limit_is: str = ""

    @property
    def share_of_limit(self) -> float | None:
        """How near Ferrule is to the limit: 1 at the limit."""
        return None if self.limit is None else _better_by(self.ours, self.limit, self.unit)


def compare(
    name: str,
    against: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    *,
    limit: float | None = None,
    limit_is: str = "",
) -> Row:
    """Return the row of `pairs` of figures, ours and theirs, each pair measured one right after the other."""
    ours, theirs = zip(*pairs, strict=True)
    ratios = [_better_by(*pair, unit) for pair in pairs]
    return Row(
        name=name,
        against=against,
        unit=unit,
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        runs=len(pairs),
        limit=limit,
        limit_is=limit_is,
    )


def alternate(
    ours: Callable[[], Figure], theirs: Callable[[], Figure], runs: int, *, warm_up: bool = True
) -> list[tuple[Figure, Figure]]:
    """Return what both give, in turn, `runs` times; before that each is called once unless `warm_up` is off."""
    if warm_up:
        ours(), theirs()
    return [(ours(), theirs()) for _ in range(runs)]


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _better_by(ours: float, theirs: float, unit: str) -> float:
    if unit in SMALLER_IS_BETTER:
        return theirs / ours
    assert unit in LARGER_IS_BETTER, unit
    return ours / theirs
