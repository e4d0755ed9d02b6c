"""Which image goes into train, val and test: by the source's marks or by a draw of whole groups, and the guard over it.

A group holds an image and all its near and exact copies. The splits have an order, train < val < test < unlabelled:
where a group spans several, its rows in the earlier ones are dropped, so that what is held out stays as it was given.
"""

import hashlib
from typing import Any, Literal

import numpy as np
import pandas as pd

from ferrule.errors import DataError, LineageError

SPLITS = ("train", "val", "test", "unlabelled")
DROPPED = "dropped"

Strategy = Literal["auto", "official", "stratified"]
Twins = Literal["drop", "keep"]

_RANK = {DROPPED: 0, **{name: rank for rank, name in enumerate(SPLITS)}}


def assign_splits(
    table: pd.DataFrame, *, strategy: Strategy, twins: Twins, test_fraction: float, val_fraction: float, seed: int
) -> pd.Series:
    """Return the split of each row of `table`: train, val, test, unlabelled or dropped, with the table's index.

    `table` holds original images only: `sample_id`, `label`, `usage`, `group_id`, `group_hash` and `blank`. The result
    depends on the rows, not on their order.

    - official: PrivateTest is test and PublicTest val; where only one of them has labels it is test, and val is drawn.
    - stratified: `test_fraction` of the rows of each class is drawn in whole groups, then `val_fraction` of the rest.
    - auto: official where the source marks both training and held-out rows, else stratified.

    A draw goes by the hashes of the groups, so that when data is added nearly every image stays where it was: models of
    before and after are tested on the same images, and none is tested on what an earlier one was trained on.

    Rows without a label, or marked Unlabelled, are never drawn. With `twins` "drop" no group spans splits; with "keep"
    only the source's own marks can make one span. Blank rows teach nothing: they are dropped from train, and
    before a draw.

    Raises DataError where a split would be empty or train would lack a class.
    """
    strategy = choose_strategy(table, strategy)
    split = _read_marks(table, official=strategy == "official")
    if twins == "drop":
        split = split.mask(_latest_rank(table, split) > split.map(_RANK), DROPPED)
    split = split.mask(table["blank"].astype(bool) & (split == "train"), DROPPED)
    if strategy == "stratified":
        split = _hold_out(table, split, "test", test_fraction, keep=2, seed=seed)
    if not (split == "val").any():
        split = _hold_out(table, split, "val", val_fraction, keep=1, seed=seed)
    _require_filled(table, split)
    return split


def choose_strategy(table: pd.DataFrame, strategy: Strategy) -> Literal["official", "stratified"]:
    """Return what `strategy` means for this table; raises DataError for "official" without held-out rows."""
    usages = set(table.loc[_is_labelled(table), "usage"].dropna())
    marked = bool(usages & {"PublicTest", "PrivateTest"})
    if strategy == "official" and not marked:
        raise DataError(
            "Expected labelled rows with usage PublicTest or PrivateTest for the official split; got "
            f"{', '.join(sorted(usages)) or 'none marked'}; set split.strategy to stratified or auto."
        )
    if strategy == "auto":
        return "official" if marked and "Training" in usages else "stratified"
    return strategy


def find_twins(table: pd.DataFrame, split: pd.Series) -> pd.Series:
    """Return, for each row, the latest split that its group reaches beyond the row's own; "" where it reaches none.

    A dropped row counts as one of train: what is left in the other splits tells why it had to go.
    """
    latest = _latest_rank(table, split)
    return latest.map(dict(enumerate(SPLITS))).where(latest > split.map(_RANK), "")


def find_parents(table: pd.DataFrame, split: pd.Series) -> pd.Series:
    """Return which rows images may be generated from: those of train without a copy in another split.

    The copies matter with twins "keep": an official twin may stay in train, but is never multiplied.
    """
    return (split == "train") & (find_twins(table, split) == "")


def summarize_splits(table: pd.DataFrame) -> dict[str, Any]:
    """Count a split table by class: originals and generated images of each split, rows dropped and why, twins kept.

    `table` is what `check_lineage` takes, and `blank`. A dropped row that is not blank was a twin of a later split.
    """
    original, dropped = table["sample_id"] == table["parent_id"], table["split"] == DROPPED
    twin_of = find_twins(table, table["split"])
    reason = ("twin of " + twin_of).mask(table["blank"].astype(bool), "blank")
    kept = original & ~dropped & (twin_of != "")
    return {
        "original": _count(table[original & ~dropped], table["split"]),
        "generated": _count(table[~original & ~dropped], table["split"]),
        "dropped": _count(table[dropped], reason),
        "twins_kept": _count(table[kept], table["split"] + " with a copy in " + twin_of),
    }


def check_lineage(table: pd.DataFrame, *, twins: Twins) -> None:
    """Raise LineageError, with counts and examples, where a rule of lineage is broken.

    `table` has one row an image, generated ones included: `sample_id`, `parent_id` (its own id for an original),
    `group_id`, `label`, `usage` and `split`. The check knows nothing of how the splits were made:

    - ids are there and unique, splits are known, and what is trained or scored on has a label;
    - a generated image has an original parent, shares its label, group and split, and stands in train or is dropped;
    - a group lies in one split. With `twins` "keep" a group without generated images may span train, val and test,
      if rows of one usage stay together: then the source itself has put the copies apart.
    """
    broken = {rule: rows for rule, rows in _broken_rules(table, twins).items() if rows.any()}
    if broken:
        found = "; ".join(
            f"{int(rows.sum())} {rule} (sample_id {_examples(table, rows)})" for rule, rows in broken.items()
        )
        raise LineageError(f"Expected every rule of lineage to hold; got {found}; run augment and split again.")


def _is_labelled(table: pd.DataFrame) -> pd.Series:
    """Return which rows have a label that may be used."""
    return table["label"].notna() & (table["usage"].fillna("") != "Unlabelled")


def _read_marks(table: pd.DataFrame, *, official: bool) -> pd.Series:
    """Return the splits before anything is dropped or drawn; rows without a mark belong to train."""
    split = pd.Series("train", index=table.index, dtype=object, name="split")
    labelled, usage = _is_labelled(table), table["usage"].fillna("")
    if official:
        split[usage == "PublicTest"] = "val"
        split[usage == ("PrivateTest" if (labelled & (usage == "PrivateTest")).any() else "PublicTest")] = "test"
    split[~labelled] = "unlabelled"
    return split


def _latest_rank(table: pd.DataFrame, split: pd.Series) -> pd.Series:
    """Return the rank of the latest split that each row's group reaches."""
    return split.map(_RANK).groupby(table["group_id"]).transform("max")


def _hold_out(table: pd.DataFrame, split: pd.Series, name: str, fraction: float, *, keep: int, seed: int) -> pd.Series:
    """Move `fraction` of train into the split `name`, group by group; each class keeps `keep` groups if it can."""
    train = split == "train"
    counts = table[train].groupby(["group_hash", "label"]).size().unstack(fill_value=0)
    order = np.argsort([_digest(seed, name, group) for group in counts.index])
    drawn = counts.index[_draw_groups(counts.to_numpy(), fraction, keep, order)]
    return split.mask(train & table["group_hash"].isin(drawn), name)


def _digest(*parts: object) -> str:
    """Return a number drawn by what `parts` say, as text."""
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


def _draw_groups(counts: np.ndarray, fraction: float, keep: int, order: np.ndarray) -> np.ndarray:
    """Return which groups to draw, bool (groups,), so that each class gives `fraction` of its rows.

    `counts` is (groups, classes). The rarest class chooses first. Groups come in `order` and are taken while they fit
    into what their classes still have to give; since most groups are single images, a large class ends exact.
    """
    present, drawn = counts > 0, np.zeros(len(counts), dtype=bool)
    wanted = np.maximum(1, np.round(fraction * counts.sum(axis=0))).astype(int)
    holders = present.sum(axis=0)
    spare = holders - np.minimum(keep, np.maximum(holders - 1, 1))  # groups that each class can do without

    def take(group: int) -> None:
        drawn[group] = True
        wanted[:] -= counts[group]
        spare[:] -= present[group]

    for number in np.argsort(counts.sum(axis=0), kind="stable"):
        for group in order[present[order, number] & ~drawn[order]]:
            if (counts[group] <= wanted).all() and (spare[present[group]] > 0).all():
                take(group)
        if not present[drawn, number].any():  # none was small enough: the smallest that can go stands for the class
            able = [group for group in order if present[group, number] and (spare[present[group]] > 0).all()]
            if able:
                take(min(able, key=lambda group: counts[group].sum()))
    return drawn


def _require_filled(table: pd.DataFrame, split: pd.Series) -> None:
    """Raise DataError where train, val or test is empty, or a class has no row in train."""
    counts = split.value_counts()
    empty = [name for name in ("train", "val", "test") if name not in counts]
    if empty:
        raise DataError(
            f"Expected images in train, val and test; {' and '.join(empty)} would be empty (of {len(table)} rows "
            f"{counts.get('unlabelled', 0)} have no label, {counts.get(DROPPED, 0)} are dropped as copies or blank); "
            "add images or change the split section of params.yaml."
        )
    labels = table.loc[_is_labelled(table), "label"]
    missing = sorted(set(labels) - set(table.loc[split == "train", "label"]))
    if missing:
        raise DataError(
            f"Expected training images of every class; {', '.join(missing)} would have none once blank images and "
            "copies of held-out images are dropped; add images or take the class out of ingest.classes."
        )


def _count(table: pd.DataFrame, by: pd.Series) -> dict[str, dict[str, int]]:
    """Return row counts as {value of `by`: {label: rows}}; rows without a label count as "none"."""
    counts: dict[str, dict[str, int]] = {}
    for (name, label), rows in table.groupby([by[table.index], table["label"].fillna("none")]).size().items():
        counts.setdefault(name, {})[label] = int(rows)
    return counts


def _broken_rules(table: pd.DataFrame, twins: Twins) -> dict[str, pd.Series]:
    """Return each rule of lineage, worded as its breach, and which rows break it."""
    parents = (
        table.drop_duplicates("sample_id").set_index("sample_id").reindex(table["parent_id"]).set_index(table.index)
    )
    generated = table["sample_id"] != table["parent_id"]
    orphaned = parents["parent_id"].isna()
    strays = pd.Series(False, index=table.index)
    for column, absent in (("label", ""), ("group_id", -1), ("split", "")):
        strays |= table[column].fillna(absent) != parents[column].fillna(absent)
    return {
        "lack an id": table[["sample_id", "parent_id", "group_id"]].isna().any(axis=1),
        "share their sample_id": table["sample_id"].duplicated(keep=False),
        "stand in no known split": ~table["split"].isin([*SPLITS, DROPPED]),
        "stand in train, val or test without a label": table["split"].isin(SPLITS[:3]) & table["label"].isna(),
        "have no parent in the table": orphaned,
        "descend from a generated image": ~orphaned & (parents["parent_id"] != table["parent_id"]),
        "differ from their parent in label, group or split": ~orphaned & strays,
        "are generated but stand outside train": generated & ~table["split"].isin(["train", DROPPED]),
        "have copies in another split": _spanning(table, generated, twins),
    }


def _spanning(table: pd.DataFrame, generated: pd.Series, twins: Twins) -> pd.Series:
    """Return which rows, dropped ones aside, lie in a group that spans splits in a way it must not."""
    kept = table[table["split"].isin(SPLITS)]
    spans = kept.groupby("group_id")["split"].transform("nunique") > 1
    if twins == "keep":
        scored = kept[kept["split"] != "unlabelled"]
        torn = scored.groupby(["group_id", "usage"], dropna=False)["split"].transform("nunique") > 1
        multiplied = generated.groupby(table["group_id"]).transform("any")
        spans &= torn.reindex(kept.index, fill_value=False) | multiplied[kept.index]
    return spans.reindex(table.index, fill_value=False)


def _examples(table: pd.DataFrame, rows: pd.Series) -> str:
    """Return the first few ids of the marked rows."""
    ids = [str(sample) for sample in table.loc[rows, "sample_id"].head(3)]
    return ", ".join(ids) + ("…" if int(rows.sum()) > len(ids) else "")
