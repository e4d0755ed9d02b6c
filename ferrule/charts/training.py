"""Pictures of a training: accuracy and loss by epoch, on training and on validation images."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.optimize import isotonic_regression

from ferrule.charts.style import ACCENT, INK, MUTED, PAPER, new_figure

_TRAINING = "#8A99A6"  # grey beside the blue of validation: apart in lightness, whatever colours one sees
_MEMBER = "#4F93BA"  # validation of a network that is part of an ensemble
_BAND = "#F2F5F7"
_LINE = 0.19  # inches from a label at the right to the next
STUDENT = "student"  # in the column `network`: the one that learned from the others
_DOTS = 20  # with more epochs a curve has no dots
_COLUMNS = 3  # of small multiples


def learning_curves(history: pd.DataFrame, title: str = "How the training went", subtitle: str = "") -> Figure:
    """Draw accuracy and loss by epoch, training against validation, and mark the epoch whose network was kept.

    `history` has the columns of history.csv. Where it has `network`, each network is drawn, and the last one's epoch is
    marked. Sizes of images are shown as bands.
    """
    networks = _split_networks(history)
    *_, last = networks.values()
    best_epoch, sizes = find_kept(last), last["size"].tolist()
    grid = {"nrows": 2, "sharex": True, "height_ratios": [1.3, 1]}
    with new_figure(title, subtitle, width=8.0, height=6.4, **grid) as (figure, (upper, lower)):
        for axes, name, inches in ((upper, "accuracy", 2.6), (lower, "loss", 2.0)):
            _draw_networks(axes, networks, name)
            _set_reach(axes, history[[name, f"val_{name}"]], headroom=0.12 if axes is upper else 0.04)
            _label_ends(axes, networks, name, gap=_LINE / inches)
            axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
            _mark(axes, networks, best_epoch, f"val_{name}")
            axes.set_title(name.capitalize())
        upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        _tell_kept(upper, networks, best_epoch)
        _number_epochs(lower, len(sizes))
        lower.set_xlabel("epoch")
        _draw_bands((upper, lower), sizes)
    return figure


def recipe_curves(histories: Mapping[str, pd.DataFrame], subtitle: str = "") -> Figure:
    """Draw the accuracy by epoch of several trainings, each in a panel by its name, all on one scale.

    A ring marks the epoch whose network was kept; of an ensemble without a student, none is.
    """
    columns = min(_COLUMNS, len(histories))
    rows = -(-len(histories) // columns)
    everything = pd.concat([table[["accuracy", "val_accuracy"]] for table in histories.values()])
    grid = {"nrows": rows, "ncols": columns, "sharey": True, "squeeze": False}
    with new_figure("Accuracy by epoch", subtitle, width=8.0, height=1.3 + 2.2 * rows, **grid) as (figure, axes):
        for panel, (name, history) in zip(axes.flat, histories.items(), strict=False):
            networks = _split_networks(history)
            _draw_networks(panel, networks, "accuracy")
            _tell_best(panel, networks)
            _number_epochs(panel, max(map(len, networks.values())))
            panel.set_title(name)
        _set_reach(axes[0, 0], everything, headroom=0.04)
        axes[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        for panel in axes.flat[len(histories) :]:
            panel.set_visible(False)
        lines = {line.get_label(): line for panel in axes.flat for line in panel.get_lines()}
        names = [name for name in ("validation", "validation, each member", "training") if name in lines]
        figure.legend([lines[name] for name in names], names, loc="outside lower left", ncols=len(names))
    return figure


def find_kept(rows: pd.DataFrame) -> int:
    """Return the epoch of one network that training keeps: the last of the best among those of full size."""
    full = rows[rows["size"] == rows["size"].max()]
    return int(full["epoch"][full["val_accuracy"] == full["val_accuracy"].max()].iloc[-1])


def _split_networks(history: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the epochs of each network, from 1, by its name; the name is empty where there is one."""
    if "network" not in history:
        return {"": history}
    return {
        str(name).replace("_", " "): rows.assign(epoch=np.arange(1, len(rows) + 1))
        for name, rows in history.groupby("network", sort=False)
    }


def _is_member(networks: Mapping[str, pd.DataFrame], name: str) -> bool:
    """Return whether `name` is one of several alike, neither a single network nor the student of the others."""
    return len(networks) > 1 and name != STUDENT


def _draw_networks(axes: Axes, networks: Mapping[str, pd.DataFrame], name: str) -> None:
    """Draw `name` and `val_<name>` of each network, members of an ensemble lightly."""
    for network, rows in networks.items():
        member = _is_member(networks, network)
        style: dict[str, Any] = {"marker": "o" if len(rows) <= _DOTS else "", "markersize": 3.5}
        style |= {"linewidth": 1.2, "zorder": 2, "alpha": 0.7} if member else {"linewidth": 2.0, "zorder": 3}
        axes.plot(rows["epoch"], rows[name], color=_TRAINING, linestyle=(0, (4, 1.5)), label="training", **style)
        colour, label = (_MEMBER, "validation, each member") if member else (ACCENT, "validation")
        axes.plot(rows["epoch"], rows[f"val_{name}"], color=colour, label=label, **style)


def _set_reach(axes: Axes, values: pd.DataFrame, headroom: float) -> None:
    """Let the axis reach over all `values`, with `headroom`, a share of the reach, above them."""
    low, high = np.nanmin(values), np.nanmax(values)
    reach = max(high - low, 0.01)
    axes.set_ylim(low - 0.06 * reach, high + headroom * reach)


def _label_ends(axes: Axes, networks: Mapping[str, pd.DataFrame], name: str, gap: float) -> None:
    """Write beside the end of each curve what it is, the labels at least `gap`, a share of the axis, apart."""
    training = float(np.mean([rows[name].iloc[-1] for rows in networks.values()]))
    ends = [(training, "training", MUTED)]
    for network, rows in networks.items():
        colour = _MEMBER if _is_member(networks, network) else ACCENT
        ends.append((float(rows[f"val_{name}"].iloc[-1]), network or "validation", colour))
    ends.sort()
    low, high = axes.get_ylim()
    steps = gap * (high - low) * np.arange(len(ends))
    places = isotonic_regression([value for value, _, _ in ends] - steps).x + steps
    epoch = max(rows["epoch"].iloc[-1] for rows in networks.values())
    for (value, text, colour), place in zip(ends, places, strict=True):
        axes.annotate(
            text,
            xy=(epoch, value),
            xytext=(1.03, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "relpos": (0, 0.5), "shrinkA": 1},
            annotation_clip=False,
        )


def _mark(axes: Axes, networks: Mapping[str, pd.DataFrame], epoch: int, name: str) -> None:
    """Put a ring around the value of `name` at `epoch` of the last network."""
    network, rows = list(networks.items())[-1]
    colour = _MEMBER if _is_member(networks, network) else ACCENT
    style: dict[str, Any] = {"color": PAPER, "markeredgecolor": colour, "markeredgewidth": 2, "markersize": 8}
    axes.plot([epoch], rows.loc[rows["epoch"] == epoch, name], "o", zorder=4, clip_on=False, **style)


def _tell_kept(axes: Axes, networks: Mapping[str, pd.DataFrame], epoch: int) -> None:
    """Write which epoch of the last network was kept, low beside its line, where accuracies of late epochs are not."""
    network, rows = list(networks.items())[-1]
    accuracy = rows.loc[rows["epoch"] == epoch, "val_accuracy"].item()
    left = epoch > rows["epoch"].mean()
    axes.annotate(
        f"kept{' of ' + network if network else ''}: epoch {epoch}\n{_percent(accuracy)}",
        xy=(epoch, 0.05),
        xytext=(-6 if left else 6, 0),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="right" if left else "left",
        color=INK,
    )


def _tell_best(axes: Axes, networks: Mapping[str, pd.DataFrame]) -> None:
    """Mark the best epoch and write its accuracy into the lower right corner, where no late accuracy is."""
    network, rows = list(networks.items())[-1]
    bests = [member["val_accuracy"].max() for member in networks.values()]
    if _is_member(networks, network):
        text, colour = f"members {_percent(min(bests))} to {_percent(max(bests))}", _MEMBER
    else:
        epoch = find_kept(rows)
        _mark(axes, networks, epoch, "val_accuracy")
        accuracy = rows.loc[rows["epoch"] == epoch, "val_accuracy"].item()
        text, colour = f"{_percent(accuracy)} in epoch {epoch}", ACCENT
    axes.text(0.97, 0.06, text, transform=axes.transAxes, ha="right", color=colour)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _number_epochs(axes: Axes, epochs: int) -> None:
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))


def _draw_bands(panels: Sequence[Axes], sizes: Sequence[int]) -> None:
    """Shade every other run of epochs of one size, and write the size above the curves of the first panel."""
    start = 0.5
    for number, (size, epochs) in enumerate(groupby(sizes)):
        end = start + len(list(epochs))
        for axes in panels:
            if number % 2 == 0:
                axes.axvspan(start, end, color=_BAND, linewidth=0, zorder=0)
        place: dict[str, Any] = {"transform": panels[0].get_xaxis_transform(), "ha": "center", "va": "top"}
        panels[0].text((start + end) / 2, 0.97, f"{size} px", color=MUTED, fontsize=9, **place)
        start = end
