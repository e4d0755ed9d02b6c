"""Drawings for the page on drift, as SVG text: they take their colours from the page, so that it can be light or dark.

Classes used: `reference` and `window` for the two sides, `limit` for a threshold, `alarm` for what is beyond it.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd

_WIDTH, _HEIGHT = 320, 132  # units of the drawing; the page scales it
_LEFT, _RIGHT, _TOP, _BOTTOM = 4, 316, 8, 112
_BINS = 24


def histogram_chart(reference: np.ndarray, window: np.ndarray, *, percent: bool = False) -> str:
    """Draw two distributions of a number: the reference as an area, the window as a line, both with an area of 1.

    The axis runs over all but the outermost 0.5 % of either side, which are counted in the first and last bin.
    """
    both = np.quantile([np.quantile(side, (0.005, 0.995)) for side in (reference, window)], (0, 1))
    low, high = both if both[1] > both[0] else (both[0] - 0.5, both[0] + 0.5)
    edges = np.linspace(low, high, _BINS + 1)
    shares = [np.histogram(np.clip(side, low, high), edges)[0] / len(side) for side in (reference, window)]
    top = max(share.max() for share in shares)
    x = np.linspace(_LEFT, _RIGHT, _BINS + 1)
    outlines = [_steps(x, _BOTTOM - (_BOTTOM - _TOP) * share / top) for share in shares]
    area = f"M{_LEFT} {_BOTTOM} L{outlines[0][1:]} L{_RIGHT} {_BOTTOM} Z"
    ticks = "".join(
        _text(place, _HEIGHT - 4, f"{value:.0%}" if percent else f"{value:,.0f}", anchor)
        for place, value, anchor in zip(
            (_LEFT, (_LEFT + _RIGHT) / 2, _RIGHT),
            (low, (low + high) / 2, high),
            ("start", "middle", "end"),
            strict=True,
        )
    )
    body = f'<path class="reference" d="{area}"/><path class="window line" d="{outlines[1]}"/>{_axis()}{ticks}'
    return _svg(body, "Distribution in the reference (area) and in the window (line)")


def shares_chart(reference: pd.Series, window: pd.Series, classes: Sequence[str]) -> str:
    """Draw the share of each class among the predictions of either side: two bars a class."""
    shares = [side.value_counts(normalize=True).reindex(classes, fill_value=0.0) for side in (reference, window)]
    scale, row = 200 / max(share.max() for share in shares), 26
    parts = []
    for number, name in enumerate(classes):
        y = 4 + number * row
        parts.append(_text(62, y + 14, name, "end"))
        for kind, share, down in zip(("reference", "window"), shares, (0, 10), strict=True):
            length = scale * share[name]
            parts.append(f'<rect class="{kind}" x="68" y="{y + down}" width="{length:.1f}" height="9" rx="1.5"/>')
            parts.append(_text(72 + length, y + down + 8, f"{share[name]:.1%}", "start", "small"))
    return _svg("".join(parts), "Share of each class among the predictions", height=8 + row * len(classes))


def history_chart(
    moments: Sequence[datetime], effects: Sequence[float], drifted: Sequence[bool], *, limit: float, chance: float
) -> str:
    """Draw the effect of a test look by look, from `chance` at the axis, against its limit; drift is marked."""
    times = np.array([moment.timestamp() for moment in moments])
    span = times[-1] - times[0]
    x = _LEFT + 4 + (_RIGHT - _LEFT - 8) * ((times - times[0]) / span if span else np.full(len(times), 0.5))
    height = (_BOTTOM - _TOP) / (1.15 * (max(*effects, limit) - chance))
    y = _BOTTOM - height * np.maximum(np.array(effects) - chance, 0)
    level = _BOTTOM - height * (limit - chance)
    line = "M" + " L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
    dots = "".join(
        f'<circle class="{"alarm" if alarm else "window"}" cx="{a:.1f}" cy="{b:.1f}" r="{3.2 if alarm else 2}"/>'
        for a, b, alarm in zip(x, y, drifted, strict=True)
    )
    ends = (_LEFT, "start", moments[0]), (_RIGHT, "end", moments[-1])
    labels = "".join(
        _text(place, _HEIGHT - 4, f"{moment:%-d %b %H:%M}", anchor) for place, anchor, moment in ends[: 1 + (span > 0)]
    )
    threshold = _text(_LEFT, level - 4, f"limit {limit:.2f}", "start", "small")
    body = (
        f'<path class="limit" d="M{_LEFT} {level:.1f} H{_RIGHT}"/>{threshold}'
        f'<path class="window line" d="{line}"/>{dots}{_axis()}{labels}'
    )
    return _svg(body, "Effect at each look, and the limit")


def _steps(x: np.ndarray, y: np.ndarray) -> str:
    """Return the path of a histogram's outline: `x` are edges (b + 1,), `y` levels (b,)."""
    corners = [
        f"{edge:.1f} {level:.1f}" for left, right, level in zip(x[:-1], x[1:], y, strict=True) for edge in (left, right)
    ]
    return "M" + " L".join(corners)


def _axis() -> str:
    return f'<path class="axis" d="M{_LEFT} {_BOTTOM} H{_RIGHT}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _svg(body: str, title: str, height: float = _HEIGHT) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{title}">{body}</svg>'
