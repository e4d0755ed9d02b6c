"""Which scored images a look at drift is about, and which of them have a label by now."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from ferrule.monitoring.reference import VALUES
from ferrule.scoring.scored import ScoredInput, list_scored, read_labels, read_scored

_COLUMNS = ("pixel_hash", "scored_at", "predicted", *VALUES)


@dataclass(frozen=True)
class Window:
    """Rows to look at; `new` of them were not there at the last look, and `newest` is the time of the newest one.

    `inputs` are the names of the files and folders they came in, with the images of each, most first.
    """

    table: pd.DataFrame
    new: int
    newest: datetime | None
    oldest: datetime | None = None
    inputs: tuple[tuple[str, int], ...] = ()


def read_window(
    root: Path, model_md5: str, *, since: datetime, last: datetime | None, at_least: int, at_most: int, seed: int
) -> Window:
    """Return the images that a model scored after `last`, and older ones after `since` until there are `at_least`.

    Inputs are taken whole. An image that came more than once counts once. Of more than `at_most` images that many are
    drawn. Reads the embeddings of these images and of no others.
    """
    inputs = [told for _, told in list_scored(root, since) if told.model_md5 == model_md5 and told.images]
    taken = _take_newest(inputs, last, at_least)
    if not taken:
        return Window(pd.DataFrame(columns=[*_COLUMNS, "embedding"]), 0, None)
    oldest, newest = taken[0].moment, taken[-1].moment
    rows = _read_of_model(root, model_md5, oldest, columns=_COLUMNS)
    if len(rows) > at_most:
        rows = rows.sample(at_most, random_state=seed).sort_index()
    columns, drawn = ("pixel_hash", "embedding"), set(rows["pixel_hash"])
    rows = rows.merge(_read_of_model(root, model_md5, oldest, columns=columns, pixel_hashes=drawn), on="pixel_hash")
    new = sum(told.images for told in inputs if last is None or told.moment > last)
    return Window(rows.reset_index(drop=True), new, newest, oldest, _count_images(taken))


def read_labelled(
    root: Path, model_md5: str, classes: tuple[str, ...], *, since: datetime, last: datetime | None, at_least: int
) -> Window:
    """Return the images scored after `since` whose label was added after `last`, and labelled before until `at_least`.

    Labels that are none of `classes` are left out: the model cannot be right about them.
    """
    labels = read_labels(root)
    labels = labels[labels["label"].isin(classes)]
    columns = ("pixel_hash", "predicted", "confidence", *(f"probability_{name}" for name in classes))
    if labels.empty:
        return Window(labels, 0, None)
    scored = _read_of_model(root, model_md5, since, columns=columns)
    rows = scored.merge(labels[["pixel_hash", "label", "added_at"]], on="pixel_hash")
    rows = rows.assign(added_at=pd.to_datetime(rows["added_at"], utc=True)).sort_values("added_at", kind="stable")
    if rows.empty:
        return Window(rows, 0, None)
    new = len(rows) if last is None else int((rows["added_at"] > last).sum())
    rows = rows.iloc[-max(new, at_least) :]
    oldest, newest = (rows["added_at"].iloc[place].to_pydatetime() for place in (0, -1))
    return Window(rows.reset_index(drop=True), new, newest, oldest)


def days_before(moment: datetime, days: float) -> datetime:
    """Return the time `days` days before `moment`, in UTC."""
    return moment.astimezone(UTC) - timedelta(days=days)


def _read_of_model(root: Path, model_md5: str, since: datetime, **choice: Any) -> pd.DataFrame:
    """Return what `read_scored` gives of one model, the newest row of each image."""
    return read_scored(root, since, model_md5=model_md5, **choice).drop_duplicates("pixel_hash", keep="last")


def _count_images(inputs: list[ScoredInput]) -> tuple[tuple[str, int], ...]:
    """Return the images of each input, most first; inputs of one name count as one."""
    counts: Counter[str] = Counter()
    for told in inputs:
        counts[told.source] += told.images
    return tuple(counts.most_common())


def _take_newest(inputs: list[ScoredInput], last: datetime | None, at_least: int) -> list[ScoredInput]:
    """Return all inputs after `last`, oldest first, with as many before them as it takes to reach `at_least` images."""
    taken: list[ScoredInput] = []
    for told in reversed(inputs):
        is_old = last is not None and told.moment <= last
        if is_old and sum(one.images for one in taken) >= at_least:
            break
        taken.append(told)
    return taken[::-1]
