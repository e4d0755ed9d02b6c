"""Contact sheets of what the audit found: twins across splits, near copies, conflicting labels, blank images."""

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ferrule.charts.style import WARNING, SheetRow, image_sheet
from ferrule.duplicates import LIKENESS, pair_conflicts, pair_twins
from ferrule.emotions import EMOTIONS
from ferrule.samples import Samples

_COLUMNS = 10  # images a row
_PAIRS = 4  # pairs a row
_BANDS = (LIKENESS, 0.7, 0.8, 0.9, 1.01)  # of likeness, a row each


def twin_sheet(samples: Samples, groups: pd.DataFrame) -> Figure:
    """Show held-out images beside an exact copy from Training, a row a class; a frame marks labels that differ."""
    twins, rows = pair_twins(samples.table, groups), []
    labels = samples.table["label"].to_numpy()[twins[:, 0]]
    for name in EMOTIONS:
        found = twins[labels == name]
        if len(found):
            rows.append(_pair_row(samples, _take_evenly(found, _PAIRS), f"{name}\n{len(found):,}"))
    subtitle = f"{len(twins):,} held-out images have an exact copy in Training, at their right; a frame: labels differ"
    return image_sheet(rows, "Test images that are training images", subtitle, together=2)


def near_pair_sheet(samples: Samples, pairs: pd.DataFrame) -> Figure:
    """Show near copies by likeness, the least alike of each band first, so that one can judge which to trust."""
    ordered = pairs.sort_values(["likeness", "first", "second"])
    ends = np.searchsorted(samples.table["sample_id"].to_numpy(), ordered[["first", "second"]].to_numpy())
    likeness = ordered["likeness"].to_numpy()
    rows = []
    for low, high in pairwise(_BANDS):
        band = ends[(likeness >= low) & (likeness < high)]
        if len(band):
            rows += [_pair_row(samples, band[:_PAIRS], f"from {low:.1f}\n{len(band):,} of {len(pairs):,}")]
            rows += [_pair_row(samples, _take_evenly(band[_PAIRS:], _PAIRS))] if len(band) > _PAIRS else []
    subtitle = f"{len(pairs):,} pairs, none of them equal, by likeness: the correlation of their fine detail"
    return image_sheet(rows, "Near copies", subtitle, together=2)


def near_group_sheet(samples: Samples, groups: pd.DataFrame, *, count: int = 8) -> Figure:
    """Show the `count` largest groups of copies, a row each."""
    members = pd.Series(np.arange(len(groups))).groupby(groups["group_id"].to_numpy()).agg(list)
    members = members[members.str.len() > 1].sort_values(key=lambda rows: -rows.str.len(), kind="stable")
    rows = [
        _image_row(samples, _take_evenly(np.array(group), _COLUMNS), f"{len(group):,} images")
        for group in members.head(count)
    ]
    return image_sheet(rows, "The largest groups of copies", f"of {len(members):,} groups of exact or near copies")


def conflict_sheet(samples: Samples, groups: pd.DataFrame) -> Figure:
    """Show equal images with different labels."""
    found = pair_conflicts(samples.table, groups)
    shown = _take_evenly(found, 6 * _PAIRS)
    rows = [_image_row(samples, shown[start : start + _PAIRS].ravel()) for start in range(0, len(shown), _PAIRS)]
    subtitle = f"{len(found):,} groups of equal images carry more than one label"
    return image_sheet(rows, "One image, two labels", subtitle, together=2)


def blank_sheet(samples: Samples, quality: pd.DataFrame) -> Figure:
    """Show the images of one grey level, then those of hardly more; the first thirty."""
    faintest = np.argsort(quality["std"].to_numpy(), kind="stable")
    shown = faintest[: min(int(quality["faint"].sum()), 3 * _COLUMNS)]
    rows = [_image_row(samples, shown[start : start + _COLUMNS]) for start in range(0, len(shown), _COLUMNS)]
    blank, faint = int(quality["blank"].sum()), int(quality["faint"].sum())
    return image_sheet(
        rows, "Images that show nothing", f"{blank:,} have one grey level, {faint - blank:,} hardly more"
    )


def _take_evenly(items: np.ndarray, count: int) -> np.ndarray:
    """Return `count` items, or all where there are fewer, taken evenly from first to last."""
    return items[np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]


def _pair_row(samples: Samples, pairs: np.ndarray, title: str = "") -> SheetRow:
    """Return a row of pairs of images, positions (k, 2); a frame marks those whose labels differ."""
    labels = samples.table["label"].fillna("").to_numpy()[pairs]
    differ = np.repeat(labels[:, 0] != labels[:, 1], 2)
    return _image_row(samples, pairs.ravel(), title, [WARNING if framed else None for framed in differ])


def _image_row(samples: Samples, rows: np.ndarray, title: str = "", frames: list[str | None] | None = None) -> SheetRow:
    """Return a row of the images at `rows`, with usage and label beneath each."""
    table = samples.table.iloc[rows]
    usages, labels = table["usage"].fillna("no usage"), table["label"].fillna("no label")
    captions = [f"{usage}\n{label}" for usage, label in zip(usages, labels, strict=True)]
    return SheetRow(samples.images[rows], title, captions, frames or [])
