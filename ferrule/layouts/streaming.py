"""New images in chunks, from a file or folder of any layout: labels are not asked for, memory is bounded by the chunk.

A folder may hold CSVs, Parquet files and pictures, at any depth: every file in it is read by its kind. Chunks are the
same whenever the bytes are, so that what was interrupted can go on at the chunk where it was.
"""

import hashlib
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ferrule.engine import map_chunks, open_executor
from ferrule.errors import DataError
from ferrule.layouts.csvfiles import CsvFile, open_csv, read_header, read_lines
from ferrule.layouts.damage import DamageError, Reject
from ferrule.layouts.listing import list_files, name_from
from ferrule.layouts.parquetfiles import decode_value, read_batches
from ferrule.layouts.pictures import quiet_opencv, read_picture
from ferrule.layouts.reading import parse_block
from ferrule.layouts.votes import holds_votes
from ferrule.samples import IMAGE_SIZE

_PICTURES_A_PIECE = 64
_UNREADABLE = "unreadable"


class Chunk(NamedTuple):
    """Images uint8 (n, 48, 48) with the file and row (0: an image file) of each, and what could not be read."""

    images: np.ndarray
    files: list[str]
    rows: list[int]
    rejects: list[Reject]


def digest_input(path: Path) -> str:
    """Return the SHA-256 of a file, or of the listing and contents of a folder.

    Raises DataError where there is nothing, or a file that cannot be read.
    """
    if not path.is_dir():
        return _digest_alone(path)
    listing, files = hashlib.sha256(), list_files(path)
    if not files:
        raise DataError(f"Expected images in the folder {path.name}; it is empty; put some in, or remove it.")
    for file in files:
        listing.update(f"{name_from(path, file)}\0{_digest_file(file)}\n".encode())
    return listing.hexdigest()


def stream_images(path: Path, size: int) -> Iterator[Chunk]:
    """Yield the images of a file or folder in chunks of at least `size` (the last may be smaller), files in order.

    Files are named from the folder in which `path` lies. Raises DataError for a table that cannot be read as a whole.
    """
    with open_executor("thread") as executor, quiet_opencv():
        yield from _gather(map_chunks(_read_piece, _list_pieces(path), executor), size)


def _read_piece(read: Callable[[], Chunk]) -> Chunk:
    return read()


def _list_pieces(path: Path) -> Iterator[Callable[[], Chunk]]:
    """Yield the pieces of `path`, each as a function that decodes it."""
    base, pictures = path.parent, []
    for file in list_files(path):
        kind = file.suffix.lower()
        if kind not in (".csv", ".parquet"):
            pictures.append(file)
        elif kind == ".csv" and not (path.is_dir() and holds_votes(file)):
            table = _open_unlabelled(file)
            yield from (partial(_read_lines, block, table, name_from(base, file)) for block in read_lines(table))
        elif kind == ".parquet":
            yield from (partial(_read_values, name_from(base, file), *batch) for batch in read_batches(file))
    for start in range(0, len(pictures), _PICTURES_A_PIECE):
        yield partial(_read_pictures, pictures[start : start + _PICTURES_A_PIECE], base)


def _open_unlabelled(file: Path) -> CsvFile:
    """Read the header of a CSV; labels and usages are ignored, so that an image is not lost for a bad one."""
    names, _ = read_header(file)
    if "pixels" not in map(str.casefold, names):
        shown = ", ".join(names[:8])[:80]
        raise DataError(f"Expected a column pixels in {file.name}; it has {shown}; name the column of the images so.")
    return replace(open_csv(file), emotion=None, usage=None)


def _read_lines(block: tuple[int, list[bytes]], table: CsvFile, name: str) -> Chunk:
    part = parse_block(block, file=table, name=name, classes=frozenset())
    return Chunk(part.images, [fact.file for fact in part.facts], [fact.row for fact in part.facts], part.rejects)


def _read_values(name: str, first_row: int, values: Sequence[Any]) -> Chunk:
    places = [(name, row) for row in range(first_row, first_row + len(values))]
    return _read_each(places, [partial(decode_value, value) for value in values])


def _read_pictures(paths: Sequence[Path], base: Path) -> Chunk:
    return _read_each([(name_from(base, path), 0) for path in paths], [partial(read_picture, path) for path in paths])


def _read_each(places: Sequence[tuple[str, int]], readers: Sequence[Callable[[], np.ndarray]]) -> Chunk:
    """Read an image for each place (file and row); what is damaged is a reject."""
    chunk = Chunk(np.empty((len(places), IMAGE_SIZE, IMAGE_SIZE), np.uint8), [], [], [])
    for (file, row), read in zip(places, readers, strict=True):
        try:
            chunk.images[len(chunk.files)] = read()
        except DamageError as damage:
            chunk.rejects.append(Reject(file, row, damage.reason, damage.detail))
            continue
        chunk.files.append(file)
        chunk.rows.append(row)
    return chunk._replace(images=chunk.images[: len(chunk.files)])


def _gather(pieces: Iterable[Chunk], size: int) -> Iterator[Chunk]:
    """Join pieces until they hold `size` images or rejects."""
    held: list[Chunk] = []
    for piece in pieces:
        held.append(piece)
        if sum(len(each.files) + len(each.rejects) for each in held) >= size:
            yield _join(held)
            held = []
    if held:
        yield _join(held)


def _join(pieces: Sequence[Chunk]) -> Chunk:
    return Chunk(
        np.concatenate([piece.images for piece in pieces]),
        [file for piece in pieces for file in piece.files],
        [row for piece in pieces for row in piece.rows],
        [reject for piece in pieces for reject in piece.rejects],
    )


def _digest_alone(path: Path) -> str:
    if (digest := _digest_file(path)) == _UNREADABLE:
        raise DataError(f"Expected a file or folder of images at {path}; it cannot be read; check the path.")
    return digest


def _digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; among many, one that cannot be read is a reject and has a word instead."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return _UNREADABLE
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return _UNREADABLE
