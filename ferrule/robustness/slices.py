"""On which of the test images a model is weak: accuracy by class, by how an image looks, by copies and by FER+ votes.

Whoever looks at a hundred slices finds one that is bad by chance. So every slice has its interval and a p-value that is
adjusted for all slices that were looked at, and none is smaller than what is asked for.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from ferrule.emotions import class_ids
from ferrule.holm import holm
from ferrule.metrics import LEVEL, ferplus_majority, wilson
from ferrule.quality import measure_quality

PAIR = "class × "  # how the kind of a slice within one class begins
WORST = 10  # slices that are told

_COLUMNS = ("kind", "slice", "rows", "accuracy", "low", "high", "gap", "p_value")
# Of each column of `measure_quality`: the kind of its slices, and what its outer thirds are called.
_LOOKS = {
    "mean": ("brightness", "darkest", "brightest"),
    "std": ("contrast", "flattest", "most contrasted"),
    "sharpness": ("sharpness", "softest", "sharpest"),
}
_UNPAIRED = ("class", "ferplus")  # within a class, what voters reject is mostly a wrong label, which says little


def describe_images(
    test: pd.DataFrame,
    images: np.ndarray,
    votes: pd.DataFrame,
    classes: tuple[str, ...],
    *,
    split: pd.DataFrame,
    groups: pd.DataFrame,
) -> pd.DataFrame:
    """Return which slice of each kind an image is in: class, brightness, contrast, sharpness, copy and ferplus.

    `test` are the test rows of evaluate's predictions; `images`, uint8 (n, 48, 48), and `votes`, which may have columns
    `votes_<name>`, are theirs. Looks are cut into thirds. `copy` tells whether an exact or near copy was offered for
    training or selection, by the whole table of `split` and audit's `groups`; `ferplus`, only with votes, whether
    most voters saw the label.
    """
    quality = measure_quality(images)
    columns = {"class": pd.Categorical(test["label"], [name for name in classes if name in set(test["label"])])}
    for column, (kind, low, high) in _LOOKS.items():
        columns[kind] = _cut_thirds(quality[column].to_numpy(), low, high)
    columns["copy"] = _tell_copies(test, split, groups)
    if "votes_neutral" in votes:
        columns["ferplus"] = _tell_voters(test, votes, classes)
    return pd.DataFrame(columns)


def score_slices(right: np.ndarray, described: pd.DataFrame, *, min_slice: int) -> pd.DataFrame:
    """Return a row a slice of at least `min_slice` images: kind, slice, rows, accuracy, low, high, gap, p_value.

    `right` says of each image whether its class was predicted, bool (n,); `described` has a column a kind. A slice is
    the images alike in one kind, or in their class and another kind. `gap` is its accuracy less that of the rest of the
    images, or of its class; `p_value` is Fisher's of that, adjusted for all rows of the table (Holm 1979).
    """
    every = pd.Series(0, index=described.index)
    found = [_score_kind(right, described[kind], every, kind, min_slice) for kind in described]
    for kind in described.columns.drop(list(_UNPAIRED), errors="ignore"):
        found.append(_score_kind(right, described[kind], described["class"], PAIR + kind, min_slice))
    table = pd.DataFrame([row for rows in found for row in rows], columns=_COLUMNS)
    adjusted = [float(f"{p_value:.3g}") for p_value in holm(table["p_value"].to_numpy(float))]
    return table.assign(p_value=adjusted)


def find_weak(table: pd.DataFrame) -> pd.Series:
    """Return which rows of `score_slices` are below the rest beyond chance."""
    return (table["gap"] < 0) & (table["p_value"] < 1 - LEVEL)


def find_worst(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the WORST slices of the lowest accuracy as rows of `score_slices`, with `beyond_chance`.

    Those beyond chance come first, so that small ones that are not never push them out of the list. Only those below
    the rest are there, and a slice within a class only where that is beyond chance: a weak class would fill the list
    with all its parts.
    """
    weak, within = find_weak(table), table["kind"].str.startswith(PAIR)
    below = table.assign(beyond_chance=weak)[weak | ((table["gap"] < 0) & ~within)]
    below = below.sort_values(["beyond_chance", "accuracy"], ascending=[False, True], kind="stable")
    rows: list[dict[str, Any]] = below.head(WORST).to_dict("records")
    return rows


def _cut_thirds(values: np.ndarray, low: str, high: str) -> pd.Categorical:
    """Return the third that each value (n,) is in; equal values are in the same."""
    first, second = np.quantile(values, (1 / 3, 2 / 3))
    names = (
        f"{low} third (under {first:,.0f})",
        f"middle third ({first:,.0f} to {second:,.0f})",
        f"{high} third (from {second:,.0f})",
    )
    return pd.Categorical.from_codes(np.searchsorted((first, second), values, side="right"), names)


def _tell_copies(test: pd.DataFrame, split: pd.DataFrame, groups: pd.DataFrame) -> pd.Categorical:
    """Return which kind of copy of each test image was offered; a generated image stands for its parent."""
    exact = groups.set_index("sample_id")["exact_group"]
    offered = split.loc[split["split"].isin(["train", "val", "dropped"]), "parent_id"].unique()
    same = exact.loc[test["sample_id"]].isin(exact.loc[offered]).to_numpy()
    names = ("exact copy", "near copy", "no copy")
    return pd.Categorical.from_codes(np.select([same, ~test["leak_free"].to_numpy(bool)], [0, 1], 2), names)


def _tell_voters(test: pd.DataFrame, votes: pd.DataFrame, classes: tuple[str, ...]) -> pd.Categorical:
    """Return whether most of an image's FER+ voters saw its label."""
    majority, labels = ferplus_majority(votes, classes), np.array(class_ids(test["label"], classes))
    names = ("most see the label", "most see another class", "no majority for a class")
    return pd.Categorical.from_codes(np.select([majority == labels, majority >= 0], [0, 1], 2), names)


def _score_kind(
    right: np.ndarray, parts: pd.Series, wholes: pd.Series, kind: str, min_slice: int
) -> list[dict[str, Any]]:
    """Return the rows of the slices that `parts` (n,) cuts each of the `wholes` (n,) into, but for whole ones."""
    rows = []
    for (whole, part), positions in parts.groupby([wholes, parts], observed=True).indices.items():
        rest = np.setdiff1d(np.flatnonzero(wholes == whole), positions)
        if len(positions) >= min_slice and len(rest):
            name = f"{whole}, {part}" if kind.startswith(PAIR) else part
            rows.append({"kind": kind, "slice": name} | _compare(right[positions], right[rest]))
    return rows


def _compare(part: np.ndarray, rest: np.ndarray) -> dict[str, float]:
    """Return the scores of a slice, beside those of the rest."""
    accuracy = wilson(part.sum(), len(part)).as_dict()
    counts = [[hits.sum(), len(hits) - hits.sum()] for hits in (part, rest)]
    return {
        "rows": len(part),
        "accuracy": accuracy.pop("value"),
        **accuracy,
        "gap": round(float(part.mean() - rest.mean()), 6),
        "p_value": fisher_exact(counts).pvalue,
    }
