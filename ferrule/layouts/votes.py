"""FER+ votes: which row of fer2013new.csv belongs to which image, and whether that can be trusted.

FER+ (Barsoum et al., ICMI 2016) has ten votes for every row of fer2013.csv, in its order, and no image. An image set
in another order would silently get the votes of other faces. So votes are used only where the rows or the file names
match, and where votes and labels then agree far more than by chance; otherwise it is said why they were not used.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from ferrule.emotions import EMOTIONS, FERPLUS_VOTES, parse_emotion
from ferrule.errors import DataError
from ferrule.layouts.csvfiles import read_header
from ferrule.layouts.usages import UNLABELLED, USAGES

if TYPE_CHECKING:
    import pandas as pd

VOTE_COLUMNS = tuple(f"votes_{name}" for name in FERPLUS_VOTES)

_COLUMNS = [name.casefold() for name in FERPLUS_VOTES]  # as in fer2013new.csv, in lower case

# Cohen's kappa of the votes' winners and the labels: 0.54 for FER-2013 in its order, 0.00 shuffled or shifted by a row.
_MIN_AGREEMENT = 0.2
_NUMBERED = re.compile(rf"({'|'.join(USAGES)})_([0-9]{{1,9}})")


class _MismatchError(Exception):
    """Why votes cannot be used."""


def holds_votes(path: Path) -> bool:
    """Tell by the header of a CSV file whether it is FER+'s."""
    try:
        names, _ = read_header(path)
    except DataError:
        return False
    return set(_COLUMNS) <= {name.casefold() for name in names}


def attach_votes(
    table: "pd.DataFrame", others: "pd.DataFrame", path: Path, file_rows: Mapping[str, int]
) -> "tuple[pd.DataFrame, str]":
    """Add the columns `votes_*` (uint8) from the FER+ file at `path` to `table`; return it, and a line that says so.

    `table` and `others` (rows of classes that are left out) have source_file, source_row, label and usage. `file_rows`
    gives the number of data rows of each CSV, in order; it is empty for image files. Where the votes do not match, the
    table comes back as it was, and the line says why.
    """
    import pandas as pd

    known = pd.concat([table, others], ignore_index=True)
    try:
        votes = _read_votes(path)
        rows = _match_rows(known, votes, file_rows) if file_rows else _match_names(known, votes)
        matched = votes.iloc[rows]
        _check_agreement(known["label"], matched)
    except _MismatchError as mismatch:
        return table, f"FER+ votes in {path.name} not used: {mismatch}"
    columns = {name: matched[name].to_numpy()[: len(table)] for name in VOTE_COLUMNS}
    return table.assign(**columns), f"FER+ votes in {path.name} used"


def _read_votes(path: Path) -> "pd.DataFrame":
    """Return the columns usage and name (str) and `votes_*` (uint8)."""
    import pandas as pd

    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # pandas' parser errors are ValueErrors
        raise _MismatchError(f"it cannot be read ({error})") from error
    raw.columns = [name.strip().casefold() for name in raw.columns]
    raw = raw.loc[:, ~raw.columns.duplicated()]
    if "usage" not in raw:
        raise _MismatchError("it has no column Usage")
    counts = raw[_COLUMNS].apply(pd.to_numeric, errors="coerce")
    wrong = ~(counts.ge(0) & counts.le(255) & counts.mod(1).eq(0)).all(axis=1)
    if wrong.any():
        raise _MismatchError(f"row {int(wrong.argmax()) + 1} holds something other than ten counts of votes")
    names = raw.get("image name", pd.Series("", index=raw.index))
    votes = counts.astype("uint8").set_axis(VOTE_COLUMNS, axis=1)
    return votes.assign(usage=raw["usage"].str.strip(), name=names.fillna("").str.strip())


def _match_rows(known: "pd.DataFrame", votes: "pd.DataFrame", file_rows: Mapping[str, int]) -> np.ndarray:
    """Return each image's row in `votes`, both in the order of fer2013.csv; ICML's train.csv is its Training rows."""
    pool = np.arange(len(votes))
    total = sum(file_rows.values())
    if len(votes) != total and (known["usage"] == "Training").all():
        pool = np.flatnonzero(votes["usage"] == "Training")
    if len(pool) != total:
        raise _MismatchError(f"it has {len(pool):,} rows where the images have {total:,}")
    starts = dict(zip(file_rows, np.cumsum([0, *file_rows.values()]), strict=False))
    rows = pool[(known["source_file"].map(starts) + known["source_row"] - 1).to_numpy(int)]
    _check_usage(known["usage"], votes["usage"].iloc[rows])
    return rows


def _match_names(known: "pd.DataFrame", votes: "pd.DataFrame") -> np.ndarray:
    """Return each image's row in `votes`, by FER+'s own image names, or by names such as Training_123.jpg (row 123)."""
    stems = [PurePosixPath(name).stem for name in known["source_file"]]
    by_name = {PurePosixPath(name).stem: row for row, name in enumerate(votes["name"]) if name}
    if all(stem in by_name for stem in stems):
        return np.array([by_name[stem] for stem in stems])
    numbers = [int(match[2]) if (match := _NUMBERED.fullmatch(stem)) else -1 for stem in stems]
    if not 0 <= min(numbers) <= max(numbers) < len(votes) or len(set(numbers)) < len(numbers):
        raise _MismatchError("the names of the image files do not tell which row of fer2013.csv they are")
    _check_usage(known["usage"], votes["usage"].iloc[numbers])
    return np.array(numbers)


def _check_usage(usages: "pd.Series", voted: "pd.Series") -> None:
    """Raise _MismatchError where a row's Usage is known in both and differs; unlabelled rows are never Training."""
    ours, theirs = usages.fillna("").to_numpy(str), voted.to_numpy(str)
    differs = (np.isin(ours, USAGES) & (ours != theirs)) | ((ours == UNLABELLED) & (theirs == "Training"))
    if differs.any():
        raise _MismatchError(f"its Usage differs in {int(differs.sum()):,} rows, so its order is another")


def _check_agreement(labels: "pd.Series", matched: "pd.DataFrame") -> None:
    """Raise _MismatchError unless the most voted class agrees with the label well above chance (Cohen's kappa)."""
    labelled = labels.notna().to_numpy()
    if not labelled.any():
        return
    voted = np.array([parse_emotion(name) or "" for name in FERPLUS_VOTES])
    winners = voted[matched[list(VOTE_COLUMNS)].to_numpy()[labelled].argmax(axis=1)]
    given = labels[labelled].to_numpy(str)
    observed = np.mean(given == winners)
    chance = sum(np.mean(given == name) * np.mean(winners == name) for name in EMOTIONS)
    if chance < 1 and (observed - chance) / (1 - chance) < _MIN_AGREEMENT:
        raise _MismatchError(
            f"only {observed:.0%} of its votes agree with the labels (62% do in FER-2013), so its order is another"
        )
