"""Pictures of what a model withstands: accuracy by severity of each corruption, what these look like, and slices."""

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ferrule.charts.style import ACCENT, GRID, INK, MUTED, WARNING, SheetRow, image_sheet, new_figure
from ferrule.robustness.corruptions import CORRUPTIONS, SEVERITIES
from ferrule.robustness.slices import PAIR, find_weak

_COLUMNS = 4  # of small multiples
_HEADINGS = {"copy": "copies among training and validation images", "ferplus": "FER+ voters"}
_ROW = 0.27  # inches a slice takes
_NUMBER = re.compile(r"\d[\d.]*")  # in an amount such as "σ 0.5 px"


def corruption_chart(table: pd.DataFrame, subtitle: str) -> Figure:
    """Draw accuracy by severity of each corruption in a panel of its own, with its interval, before all the others.

    `table` has the columns of corruptions.csv.
    """
    lines = {str(name): rows for name, rows in table.groupby("corruption", sort=False)}
    rows = -(-len(lines) // _COLUMNS)
    grid = {"nrows": rows, "ncols": _COLUMNS, "sharey": True, "squeeze": False}
    title = "How accuracy falls as images get worse"
    with new_figure(title, subtitle, width=10.0, height=1.0 + 2.45 * rows, **grid) as (figure, axes):
        for panel, name in zip(axes.flat, lines, strict=False):
            _draw_line(panel, lines, name)
            panel.set_title(name)
        for panel in axes.flat[len(lines) :]:
            panel.set_visible(False)
        axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        axes[0, 0].set_ylim(0, min(1.0, table["high"].max() + 0.05))
    return figure


def slice_chart(table: pd.DataFrame, accuracy: float, subtitle: str) -> Figure:
    """Draw the accuracy of each slice with its interval, beside that of all images, `accuracy`.

    `table` has the columns of slices.csv. Of the slices within a class those are drawn that are weak; what is weak has
    the colour of a warning.
    """
    drawn = _arrange_slices(table)
    places, bottom = drawn["place"], drawn["place"].max() if len(drawn) else 0
    colours = [WARNING if weak else ACCENT for weak in drawn["weak"]]
    title, height = "Where it is weaker than elsewhere", 1.8 + _ROW * bottom
    with new_figure(title, subtitle, width=8.0, height=height) as (figure, axes):
        axes.axvline(accuracy, color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
        axes.hlines(places, drawn["low"], drawn["high"], colors=colours, linewidth=2)
        axes.scatter(drawn["accuracy"], places, c=colours, s=26, zorder=3)
        axes.set_yticks(places, drawn["slice"])
        for heading, place in places.groupby(drawn["heading"]).min().items():
            _write_beside(axes, 0, place - 0.85, str(heading), weight="bold", fontsize=9.5)
        for text, place in [("images", -0.85), *zip(drawn["rows"].map("{:,}".format), places, strict=True)]:
            _write_beside(axes, 1.01, place, text, color=MUTED)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        axes.set(xlim=(0, 1), ylim=(bottom + 0.7, -1.6), xlabel="accuracy, with its 95 % interval")
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
    return figure


def severity_sheet(image: np.ndarray) -> Figure:
    """Draw `image`, uint8 (48, 48), under every corruption at every severity."""
    rows = []
    for name, corruption in CORRUPTIONS.items():
        severities = (0, *SEVERITIES)
        images = [corruption.apply(image[np.newaxis], each, np.random.default_rng(1))[0] for each in severities]
        rows.append(SheetRow(np.stack(images), name, [corruption.say_amount(each) for each in severities]))
    return image_sheet(rows, "What the corruptions look like", "left as it is, then severity 1 to 5")


def _draw_line(axes: Axes, lines: dict[str, pd.DataFrame], name: str) -> None:
    """Draw the line `name` with its interval and amounts, and the others in grey."""
    for other in lines.values():
        axes.plot(other["severity"], other["accuracy"], color=GRID, linewidth=1.2, zorder=1)
    table = lines[name]
    axes.fill_between(table["severity"], table["low"], table["high"], color=ACCENT, alpha=0.18, linewidth=0)
    axes.plot(table["severity"], table["accuracy"], "o-", color=ACCENT, markersize=3.5, zorder=3)
    last = table.iloc[-1]
    place: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "color": INK, "fontsize": 9}
    below = last["low"] > 0.1  # a line that ends low has its number above
    axes.annotate(
        f"{100 * last['accuracy']:.0f} %",
        (last["severity"], last["low" if below else "high"]),
        **place,
        xytext=(4, -11 if below else 4),
    )
    numbers = [_NUMBER.search(amount) for amount in table["amount"]]
    axes.set_xticks(table["severity"], [found[0] if found else "–" for found in numbers], fontsize=8)
    axes.set_xlabel(" ".join(_NUMBER.sub("", last["amount"]).split()), fontsize=8.5)


def _arrange_slices(table: pd.DataFrame) -> pd.DataFrame:
    """Return the slices to draw, kind by kind, with `weak`, `heading` and `place`, counted from the top."""
    within = table["kind"].str.startswith(PAIR)
    weak = find_weak(table)
    headings = table["kind"].replace(_HEADINGS).mask(within, "within a class")
    drawn = table.assign(weak=weak, heading=headings)[~within | weak]
    drawn = drawn.sort_values("heading", key=lambda column: column == "within a class", kind="stable")
    begins = drawn["heading"] != drawn["heading"].shift()
    return drawn.assign(place=np.arange(len(drawn)) + begins.cumsum() - 1)


def _write_beside(axes: Axes, x: float, place: float, text: str, **style: Any) -> None:
    """Write at `x`, a share of the width, in the line `place`."""
    axes.text(x, place, text, transform=axes.get_yaxis_transform(), va="center", **style)
