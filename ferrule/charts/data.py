"""Pictures of a dataset: how often each class occurs, what its images look like, how bright and contrasted they are."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from ferrule.charts.style import ACCENT, INK, MUTED, PAPER, SERIES_COLOURS, SheetRow, image_sheet, new_figure
from ferrule.emotions import EMOTIONS
from ferrule.palette import CLASS_COLOURS
from ferrule.samples import Samples

_USAGES = ("Training", "PublicTest", "PrivateTest", "Unlabelled")
_NO_LABEL, _NO_USAGE = "unlabelled", "no usage"
_USAGE_COLOURS = dict(zip(_USAGES, SERIES_COLOURS, strict=True)) | {_NO_USAGE: ACCENT}
_MEAN_GAIN, _DIFFERENCE_GAIN = 1.8, 5.0  # by which the contrast of mean faces and of their differences is enlarged


def count_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many images each `label` and `usage` has: `count`; only pairs that occur, in canonical order."""
    label = pd.Categorical(table["label"].fillna(_NO_LABEL), [*EMOTIONS, _NO_LABEL])
    usage = pd.Categorical(table["usage"].fillna(_NO_USAGE), [*_USAGES, _NO_USAGE])
    pairs = pd.DataFrame({"label": label, "usage": usage})
    return pairs.groupby(["label", "usage"], observed=True).size().reset_index(name="count")


def count_levels(values: pd.Series, *, width: int, name: str) -> pd.DataFrame:
    """Return how many `values`, grey levels 0-255, fall into each bin of `width` levels: its middle `name`, `count`."""
    edges = np.arange(0, 256 + width, width)
    return pd.DataFrame({name: edges[:-1] + width / 2, "count": np.histogram(values, edges)[0]})


def label_chart(table: pd.DataFrame) -> Figure:
    """Draw how many images each class has, by usage, and its share of each usage."""
    counts = count_labels(table).pivot(index="label", columns="usage", values="count").fillna(0).astype(int)
    height = 1.9 + 0.42 * len(counts)
    subtitle = f"{len(table):,} images; left: how many, right: share of the labelled images of each usage"
    with new_figure("Images by class", subtitle, width=10, height=height, ncols=2, sharey=True) as (figure, axes):
        _draw_counts(axes[0], counts)
        _draw_shares(axes[1], counts.drop(index=_NO_LABEL, errors="ignore"))
        axes[0].invert_yaxis()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(counts.columns))
    return figure


def random_sheet(samples: Samples, *, images_per_class: int, seed: int) -> Figure:
    """Show images of each class, drawn at random by `seed`, a row a class."""
    rows = []
    for number, (name, members) in enumerate(_rows_by_class(samples.table).items()):
        random = np.random.default_rng([seed, number])
        shown = random.choice(members, min(images_per_class, len(members)), replace=False)
        captions = [f"#{identity}" for identity in samples.table["sample_id"].iloc[shown]]
        rows.append(SheetRow(samples.images[shown], f"{name}\n{len(members):,}", captions))
    return image_sheet(rows, "Images of each class", f"drawn at random from {len(samples):,}; # is the sample_id")


def mean_face_sheet(samples: Samples) -> Figure:
    """Show the mean image of each class, and how it differs from the mean of all classes."""
    classes = _rows_by_class(samples.table)
    means = np.stack([_mean_image(samples.images, members) for members in classes.values()])
    means -= means.mean(axis=(1, 2), keepdims=True)  # how bright a class is, the chart of brightness shows
    captions = [f"{name}\n{len(members):,}" for name, members in classes.items()]
    frames = [CLASS_COLOURS.get(name) for name in classes]
    rows = [
        SheetRow(_to_pixels(128 + _MEAN_GAIN * means), "mean", captions, frames),
        SheetRow(_to_pixels(128 + _DIFFERENCE_GAIN * (means - means.mean(axis=0))), "difference"),
    ]
    subtitle = "the mean of all images of a class; below it what sets it apart from the others; contrast enlarged"
    return image_sheet(rows, "Mean faces", subtitle, zoom=3)


def brightness_chart(table: pd.DataFrame, quality: pd.DataFrame) -> Figure:
    """Draw how brightness and contrast are distributed over all images, and over those of each class."""
    classes = _rows_by_class(table)
    grid = {"nrows": 2, "ncols": 2, "height_ratios": [2.2, 0.4 + 0.4 * len(classes)], "sharex": "col", "sharey": "row"}
    subtitle = f"{len(table):,} images; below, by class: thin 5 % to 95 %, thick 25 % to 75 %, dot the median"
    height = 3.4 + 0.4 * len(classes)
    with new_figure("Brightness and contrast", subtitle, width=10, height=height, **grid) as (figure, axes):
        for column, (name, limit) in enumerate({"mean": 256, "std": 128}.items()):  # half black, half white: 127.5
            axes[0, column].hist(quality[name], bins=np.linspace(0, limit, 33), color=ACCENT)
            _draw_quantiles(axes[1, column], {key: quality[name].to_numpy()[rows] for key, rows in classes.items()})
            axes[1, column].set(xlim=(0, limit), xlabel="grey levels")
        axes[0, 0].set(title="Brightness: mean", ylabel="images")
        axes[0, 1].set(title="Contrast: standard deviation")
        axes[0, 0].yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes[0, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes[1, 0].set_ylim(len(classes) - 0.4, -0.6)
    return figure


def _draw_counts(axes: Axes, counts: pd.DataFrame) -> None:
    """Draw a bar a class, stacked by usage, with its total."""
    total = counts.sum(axis=1)
    start = np.zeros(len(counts))
    for usage in counts:
        axes.barh(counts.index, counts[usage], left=start, color=_USAGE_COLOURS[usage], label=usage, height=0.62)
        start += counts[usage].to_numpy()
    for name, number in total.items():
        axes.annotate(f"{number:,}", (number, name), (5, 0), textcoords="offset points", va="center", color=INK)
    axes.set(xlim=(0, 1.16 * total.max()), xlabel="images")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    _grid_along(axes)


def _draw_shares(axes: Axes, counts: pd.DataFrame) -> None:
    """Draw a dot for the share of each class in each usage, the usages one below the other."""
    labelled = counts.loc[:, counts.sum() > 0]
    shares = labelled / labelled.sum()
    for number, usage in enumerate(shares):
        places = np.arange(len(shares)) + 0.2 * (number - (len(shares.columns) - 1) / 2)
        axes.hlines(places, 0, shares[usage], color=_USAGE_COLOURS[usage], linewidth=1.5)
        axes.plot(shares[usage], places, "o", color=_USAGE_COLOURS[usage], markersize=6)
    axes.set(xlim=(0, None), xlabel="share of the usage")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    _grid_along(axes)


def _grid_along(axes: Axes) -> None:
    """Draw the grid for values read along x."""
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")


def _rows_by_class(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the positions of the rows of each class that occurs, in canonical order; the unlabelled ones come last."""
    labels = table["label"].fillna(_NO_LABEL).to_numpy()
    rows = {name: np.flatnonzero(labels == name) for name in (*EMOTIONS, _NO_LABEL)}
    return {name: members for name, members in rows.items() if len(members)}


def _mean_image(images: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return the mean of the images at `members`, float64 (48, 48), reading a chunk of them at a time."""
    parts = np.array_split(members, 1 + len(members) // 4096)
    return sum(images[part].sum(axis=0, dtype=np.int64) for part in parts) / len(members)


def _to_pixels(values: np.ndarray) -> np.ndarray:
    """Return grey levels as uint8, cut to 0-255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _draw_quantiles(axes: Axes, values: dict[str, np.ndarray]) -> None:
    """Draw a line a class: a thin bar, a thick bar and a dot, where 90 %, half and the middle of its values lie."""
    for place, (name, found) in enumerate(values.items()):
        low, lower, middle, upper, high = np.percentile(found, (5, 25, 50, 75, 95))
        colour = CLASS_COLOURS.get(name, MUTED)
        axes.hlines(place, low, high, color=colour, linewidth=2)
        axes.hlines(place, lower, upper, color=colour, linewidth=8)
        axes.plot(middle, place, "o", color=PAPER, markeredgecolor=colour, markersize=8)
    axes.set_yticks(range(len(values)), list(values))
    _grid_along(axes)
