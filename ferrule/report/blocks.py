"""What a report is made of: sections of blocks that a page and a Markdown text can both show.

Blocks hold numbers, texts and images and no layout; `render.py` has that. A text may have Markdown's emphasis, code and
links; whatever comes from the data (labels, names of files) stands in cells, captions and values, which are plain.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import cv2
import numpy as np

from ferrule.documents import say_share
from ferrule.metrics import Estimate

Tone = Literal["good", "note", "bad", "absent", ""]

CHART_TICKS = 6  # about so many along an axis
_SHORT = 20  # characters of a note that still stands beside a value
_STEPS = np.array([1, 2, 2.5, 5, 10])  # between ticks, times a power of ten


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Numbers that one sees first: name, value, and a note, which may be empty."""

    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Table:
    """A table; `align` has an l or r for each column. One that is `folded` is opened by whoever wants it."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    title: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Bar:
    """A value on the axis of `Bars`, with the ends of its interval if it has one, and what is written beside it."""

    label: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    note: str = ""
    tone: Tone = ""


@dataclass(frozen=True)
class Bars:
    """Shares below each other on one axis, from `start` to `end`; `mark` is drawn through all of them.

    Bars begin at `start`, where that is 0 and no value has an interval; otherwise values are points.
    """

    rows: Sequence[Bar]
    start: float
    end: float
    title: str = ""
    mark: float | None = None

    @property
    def dots(self) -> bool:
        """Whether values are points: a bar that does not begin at 0 lies about its length."""
        return self.start != 0 or any(bar.low is not None for bar in self.rows)

    @property
    def wordy(self) -> bool:
        """Whether the notes are sentences, which stand better beneath the labels than beside the values."""
        return max((len(bar.note) for bar in self.rows), default=0) > _SHORT

    def ticks(self) -> list[tuple[float, str]]:
        """Return (value, text) for round values along the axis: per cent, or points where there are negative ones."""
        sign = "+" if self.start < 0 else ""
        unit = "" if self.start < 0 else " %"
        return [(value, f"{100 * value:{sign if value else ''}g}{unit}") for value in round_ticks(self.start, self.end)]


@dataclass(frozen=True)
class Stack:
    """A row of `Stacks`: what it is, how much of each part, and what is written beside it."""

    label: str
    parts: Sequence[float]
    text: str


@dataclass(frozen=True)
class Stacks:
    """Amounts in parts, a row each, on one scale from 0; `names` are those of the parts."""

    names: Sequence[str]
    rows: Sequence[Stack]
    title: str = ""

    @property
    def end(self) -> float:
        """The longest row."""
        return max((sum(row.parts) for row in self.rows), default=1.0) or 1.0


@dataclass(frozen=True)
class Heat:
    """A table whose cells are tinted by a number of 0 to 1: rows of (label, cells), a cell a text and its tint."""

    head: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]]
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A series of points; the first is drawn in the main colour. `low` and `high` are the ends of intervals."""

    name: str
    x: np.ndarray
    y: np.ndarray
    kind: Literal["main", "second", "guide"] = "main"
    low: np.ndarray = field(default_factory=partial(np.empty, 0))
    high: np.ndarray = field(default_factory=partial(np.empty, 0))


@dataclass(frozen=True)
class Lines:
    """Series over one axis; `percent` says how values of either axis are written. `marks` are (x, y, text)."""

    title: str
    series: Sequence[Line]
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_percent: bool = False
    y_percent: bool = False
    marks: Sequence[tuple[float, float, str]] = ()

    def ticks(self, axis: Literal["x", "y"]) -> list[tuple[float, str]]:
        """Return (value, text) for round values along an axis."""
        low, high = self.x_range if axis == "x" else self.y_range
        percent = self.x_percent if axis == "x" else self.y_percent
        return [(value, say_share(value, 0) if percent else f"{value:g}") for value in round_ticks(low, high)]


@dataclass(frozen=True)
class Face:
    """An image, uint8 (48, 48), with what stands beneath it; `tone` colours its frame."""

    image: np.ndarray
    caption: str
    detail: str = ""
    tone: Tone = ""

    @property
    def address(self) -> str:
        """The image as a data URI."""
        return f"data:image/png;base64,{b64encode(cv2.imencode('.png', self.image)[1].tobytes()).decode()}"


@dataclass(frozen=True)
class Faces:
    """Images that are worth a look, in groups that belong together."""

    title: str
    groups: Sequence[Sequence[Face]]
    note: str = ""


Block = Text | Facts | Table | Bars | Stacks | Heat | Lines | Faces


@dataclass(frozen=True)
class Check:
    """What a reader who doubts would ask, and the answer; `tone` says whether it speaks for the model."""

    tone: Tone
    text: str


@dataclass(frozen=True)
class Section:
    """A part of the report, with the checks that it answers."""

    name: str
    title: str
    blocks: Sequence[Block]
    checks: Sequence[Check] = ()

    @property
    def absent(self) -> bool:
        """Whether there was nothing to look at."""
        return not self.blocks


@dataclass(frozen=True)
class Report:
    """All of it; `figures` are what one sees first."""

    title: str
    subtitle: str
    figures: Facts
    sections: Sequence[Section]


def not_run(name: str, title: str, stage: str) -> Section:
    """Return a section that says that its stage did not run."""
    return Section(name, title, [], [Check("absent", f"{title}: not run; the stage `{stage}` has left nothing.")])


def plot(
    title: str,
    series: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    marks: Sequence[tuple[float, float, str]] = (),
    **options: Any,
) -> Lines:
    """Return the lines on axes that reach over all points and marks, unless `options` has other ranges."""
    x = np.concatenate([*(line.x for line in series), [mark[0] for mark in marks]])
    y = np.concatenate(
        [*(values for line in series for values in (line.y, line.low, line.high)), [mark[1] for mark in marks]]
    )
    ranges = {"x_range": (float(x.min()), float(x.max())), "y_range": widen(float(y.min()), float(y.max()))}
    return Lines(title, series, x_label, y_label, marks=marks, **(ranges | options))


def widen(low: float, high: float) -> tuple[float, float]:
    """Return a range with some room at both ends."""
    room = 0.05 * ((high - low) or 1.0)
    return low - room, high + room


def round_ticks(low: float, high: float) -> list[float]:
    """Return some round values within a range; none is a negative zero."""
    if high <= low:
        return [low]
    least = (high - low) / CHART_TICKS
    power = 10.0 ** np.floor(np.log10(least))
    step = power * _STEPS[np.searchsorted(_STEPS, least / power - 1e-9)]
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [float(round(step * number, 10)) + 0.0 for number in np.arange(first, last + 1)]


def estimate_bar(label: str, estimate: Mapping[str, float] | Estimate, note: str = "", tone: Tone = "") -> Bar:
    """Return the bar of a share with its interval, of a dictionary as in metrics.json or of an Estimate."""
    found = estimate.as_dict() if isinstance(estimate, Estimate) else estimate
    text = f"{say_share(found['value'])} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"
    return Bar(label, found["value"], text, found["low"], found["high"], note, tone)


def reach(bars: Iterable[Bar], *, step: float = 0.05) -> tuple[float, float]:
    """Return the ends of an axis for shares: multiples of `step` around all bars and their intervals."""
    values = [value for bar in bars for value in (bar.value, bar.low, bar.high) if value is not None]
    low, high = np.floor(min(values) / step + 1e-9) * step, np.ceil(max(values) / step - 1e-9) * step
    return float(max(0.0, low)), float(min(1.0, max(high, low + step)))
