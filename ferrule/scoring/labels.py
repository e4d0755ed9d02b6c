"""Labels that become known after scoring: read from a table of hashes or places, or from labelled images, and kept.

An image is known by its pixels, so that its label finds it whatever file it came in. Where an image is labelled more
than once the last label counts: within a file the last row, and of several files the one that was added last.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.emotions import EMOTIONS, parse_emotion
from ferrule.errors import DataError
from ferrule.files import replacing
from ferrule.layouts import read_samples
from ferrule.layouts.csvfiles import read_header
from ferrule.quality import hash_pixels
from ferrule.scoring.scored import FOLDER, LABELS, read_labels, read_scored

_HASH, _PLACE, _LABEL = "pixel_hash", ["source_file", "source_row"], "label"
_PIXELS = "pixels"  # a CSV that has it is one of images
_IS_HASH = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class AddedLabels:
    """What came of adding labels, in images: those labelled, and of these the scored and the changed ones.

    `left_out` counts rows without a label, and rows that name no scored image by its place; `contradicted` the images
    with different labels in one file.
    """

    images: int
    matched: int
    changed: int
    contradicted: int
    left_out: int
    new: bool

    @property
    def sentence(self) -> str:
        """What was added, for a person."""
        unknown = self.images - self.matched
        parts = [f"{self.images:,} images labelled: {self.matched:,} of them are scored, {unknown:,} unknown"]
        if self.contradicted:
            parts.append(f"{self.contradicted:,} had more than one label, and the last one counts")
        if self.changed:
            parts.append(f"{self.changed:,} had another label before")
        if self.left_out:
            parts.append(f"rows left out, without a label or of no scored image: {self.left_out:,}")
        return "; ".join(parts) + ("." if self.new else "; all of it was known already.")


def add_labels(root: Path, file: Path) -> AddedLabels:
    """Keep the labels in `file` in the store of the project `root`, those that are not known already.

    `file` is a CSV with label and pixel_hash, or label, source_file and source_row (as in the predictions), or labelled
    images in any layout that ingest reads. Labels of images that are not scored are kept too. Raises DataError, and
    keeps nothing, where the file cannot be read or a label or hash in it is none.
    """
    scored, before = read_scored(root, columns=[_HASH, *_PLACE]), read_labels(root)
    rows = _read_rows(file, scored)
    known = rows.dropna(subset=[_HASH, _LABEL])
    labels = known.drop_duplicates(_HASH, keep="last").sort_values(_HASH)
    if labels.empty:
        raise DataError(f"Expected labels of scored images in {file.name}; it has none; see docs/scoring.md.")
    former = labels[_HASH].map(before.set_index(_HASH)[_LABEL])
    news = labels[former != labels[_LABEL]]  # unknown ones too: a missing value equals nothing
    if len(news):
        _keep(root, news, file)
    return AddedLabels(
        images=len(labels),
        matched=int(labels[_HASH].isin(scored[_HASH]).sum()),
        changed=int(former[news.index].notna().sum()),
        contradicted=int((known.groupby(_HASH)[_LABEL].nunique() > 1).sum()),
        left_out=len(rows) - len(known),
        new=len(news) > 0,
    )


def _keep(root: Path, labels: pd.DataFrame, file: Path) -> None:
    """Write a file of labels, named after its time."""
    now = datetime.now(UTC)
    with replacing(root / FOLDER / LABELS / f"{now:%Y-%m-%dT%H-%M-%S.%fZ}.parquet") as draft:
        labels.assign(added_at=pd.Timestamp(now), source=file.name).to_parquet(draft, index=False)


def _read_rows(file: Path, scored: pd.DataFrame) -> pd.DataFrame:
    """Return the columns pixel_hash and label, each missing where it is unknown, in the order of the file."""
    names = {name.casefold() for name in read_header(file)[0]} if file.is_file() else set()
    if {_HASH, _LABEL} <= names:
        return _check(_read_csv(file), file)
    if {*_PLACE, _LABEL} <= names:
        return _check(_find_hashes(_read_csv(file), scored, file), file)
    if file.suffix.casefold() == ".csv" and any(names) and _PIXELS not in names:
        raise DataError(
            "Expected label with pixel_hash, or label with source_file and source_row, or labelled images; "
            f"{file.name} has {', '.join(sorted(names))}; name its columns so."
        )
    samples = read_samples(file, EMOTIONS, max_reject_fraction=1.0).samples
    hashes = np.array([digest for chunk in samples.chunks() for digest in hash_pixels(chunk)])
    return pd.DataFrame({_HASH: hashes, _LABEL: samples.table[_LABEL].to_numpy()})


def _read_csv(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"Expected a CSV of labels in {file.name}; it cannot be read ({error}); correct it.") from error
    table.columns = [name.strip().casefold() for name in table.columns]
    return table.apply(lambda column: column.str.strip())


def _find_hashes(table: pd.DataFrame, scored: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Add the hashes of the scored images at source_file and source_row; missing where there is none."""
    places = scored.drop_duplicates().assign(source_row=scored["source_row"].astype(str))
    double = places[places.duplicated(_PLACE)].merge(table, on=_PLACE)
    if len(double):
        first = double.iloc[0]
        raise DataError(
            f"Expected source_file and source_row in {file.name} to name one scored image; {first['source_file']} row "
            f"{first['source_row']} names several, of inputs of the same name; give pixel_hash instead."
        )
    return table.drop(columns=_HASH, errors="ignore").merge(places, on=_PLACE, how="left")


def _check(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Return hashes and class names; raises DataError that names the first row with something else."""
    hashes, told = table[_HASH].str.lower(), table[_LABEL]
    wrong_hash = hashes.notna() & ~hashes.fillna("").str.fullmatch(_IS_HASH)
    labels = told.map({name: parse_emotion(name) for name in told.unique()})
    wrong_label = labels.isna() & (told != "")
    for wrong, column in ((wrong_hash, _HASH), (wrong_label, _LABEL)):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            what = "16 hexadecimal digits" if column == _HASH else f"one of {', '.join(EMOTIONS)}"
            got = f"row {row + 1} has {table[column].iloc[row]!r}"
            raise DataError(f"Expected {what} as {column} in {file.name}; {got}; correct it.")
    return pd.DataFrame({_HASH: hashes, _LABEL: labels})
