"""The store of scored images, `<project>/scoring/`: predictions by day, rejects, and labels that came later.

A file of predictions is written whole and never changed. What was scored, by which model and when, stands in its own
metadata, so that the files are the ledger: there is no second one that could disagree.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ferrule.errors import DataError

FOLDER = "scoring"
INBOX, PREDICTIONS, REJECTS, LABELS = "inbox", "predictions", "rejects", "labels"
NAME_DIGITS = 16  # of the input's SHA-256, that its files are named after

_METADATA = b"ferrule.scoring"


@dataclass(frozen=True)
class ScoredInput:
    """What a file of predictions says of itself; `scored_at` is UTC, and one moment for the whole input."""

    source: str
    input_sha256: str
    model_name: str
    model_version: str
    model_md5: str
    temperature: float
    threshold: float | None  # below this calibrated confidence it abstains; None: always
    images: int
    answered: int
    rejects: int
    scored_at: str  # ISO 8601

    @property
    def moment(self) -> datetime:
        """When it was scored."""
        return datetime.fromisoformat(self.scored_at)


def read_scored(
    root: Path,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    model_md5: str | None = None,
    columns: Sequence[str] | None = None,
    pixel_hashes: Collection[str] | None = None,
) -> pd.DataFrame:
    """Return what was scored in the project `root` with since <= scored_at < until, a row an image, oldest first.

    Of one model by `model_md5`, or of all. `columns` are all unless named, which bounds the memory: `embedding` is by
    far the largest; so does asking for the images of some `pixel_hashes` only. Probabilities of a class that a model
    does not know are missing. Times without a zone are taken as UTC. An image that two models scored, or that came in
    two inputs, has two rows. Without any file the table is empty, with the columns asked for. Raises DataError as
    `read_description` does.
    """
    files = [path for path, told in list_scored(root, since, until) if model_md5 in (None, told.model_md5)]
    tables = [_read_rows(path, columns, pixel_hashes) for path in files]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(columns or ["pixel_hash"]))


def list_scored(
    root: Path, since: datetime | None = None, until: datetime | None = None
) -> list[tuple[Path, ScoredInput]]:
    """Return the files of predictions of that time and what they say of themselves, oldest first."""
    start, end = _in_utc(since), _in_utc(until)
    first_day = f"date={start:%Y-%m-%d}" if start else ""
    paths = (root / FOLDER / PREDICTIONS).glob("date=*/*.parquet")
    found = [(path, read_description(path)) for path in paths if path.parent.name >= first_day]
    kept = [
        (path, told) for path, told in found if (not start or told.moment >= start) and (not end or told.moment < end)
    ]
    return sorted(kept, key=lambda each: (each[1].moment, each[0].name))


def find_scored(root: Path, input_sha256: str) -> list[ScoredInput]:
    """Return every scoring of the input of this SHA-256, by any model."""
    paths = (root / FOLDER / PREDICTIONS).glob(f"date=*/{input_sha256[:NAME_DIGITS]}*.parquet")
    return [told for told in map(read_description, paths) if told.input_sha256 == input_sha256]


def find_damaged(root: Path) -> list[Path]:
    """Return the files of predictions and labels that cannot be read; of predictions only the ends are looked at."""
    places = {PREDICTIONS: ("date=*/*.parquet", read_description), LABELS: ("*.parquet", _read_rows)}
    return [
        path
        for folder, (pattern, read) in places.items()
        for path in sorted((root / FOLDER / folder).glob(pattern))
        if _fails(read, path)
    ]


def read_labels(root: Path) -> pd.DataFrame:
    """Return the labels added so far: pixel_hash (unique), label, added_at (UTC), source; the last one added counts."""
    tables = [_read_rows(path) for path in (root / FOLDER / LABELS).glob("*.parquet")]
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype="str") for name in ("pixel_hash", "label", "added_at", "source")})
    labels = pd.concat(tables, ignore_index=True).sort_values("added_at", kind="stable")
    return labels.drop_duplicates("pixel_hash", keep="last").reset_index(drop=True)


def predictions_path(root: Path, told: ScoredInput, *, first: bool) -> Path:
    """Return where predictions go; those of a later model stand beside the `first` ones, with its MD5 in their name."""
    name = told.input_sha256[:NAME_DIGITS] + ("" if first else f"-{told.model_md5[:8]}")
    return root / FOLDER / PREDICTIONS / f"date={told.moment:%Y-%m-%d}" / f"{name}.parquet"


def rejects_path(root: Path, input_sha256: str, moment: datetime) -> Path:
    """Return where the rejects of an input go: where they are, if it was read before."""
    folder, name = root / FOLDER / REJECTS, f"{input_sha256[:NAME_DIGITS]}.parquet"
    return next(folder.glob(f"date=*/{name}"), folder / f"date={moment:%Y-%m-%d}" / name)


def read_description(path: Path) -> ScoredInput:
    """Return what a file of predictions says of itself; raises DataError where the file is damaged."""
    with _reading(path):
        content = json.loads(pq.read_schema(path).metadata[_METADATA])
        return ScoredInput(**{field.name: content[field.name] for field in fields(ScoredInput)})


def with_description(schema: pa.Schema, told: ScoredInput) -> pa.Schema:
    """Return `schema` with what the file says of itself."""
    return schema.with_metadata({_METADATA: json.dumps(asdict(told)).encode()})


def _read_rows(
    path: Path, columns: Sequence[str] | None = None, pixel_hashes: Collection[str] | None = None
) -> pd.DataFrame:
    """Return the rows of these hashes, or all, with those of the columns that the file has."""
    asked = None if pixel_hashes is None else pc.field("pixel_hash").isin(list(pixel_hashes))
    with _reading(path):
        known = None if columns is None else [name for name in columns if name in pq.read_schema(path).names]
        return pq.read_table(path, columns=known, filters=asked, partitioning=None).to_pandas()


def _fails(read: Callable[[Path], object], path: Path) -> bool:
    try:
        read(path)
    except DataError:
        return True
    return False


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Make one sentence of whatever a file of the store that cannot be read gives rise to."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        told = str(error).strip().partition("\n")[0]
        raise DataError(
            f"Expected a file of scored images or labels in {path}; it cannot be read ({told}); remove it, and what it "
            "held can be scored, or added, again."
        ) from error


def _in_utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
