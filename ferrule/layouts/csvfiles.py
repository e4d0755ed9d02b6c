"""CSV files of pixel strings: their header, and their lines in blocks.

A row is a line: no field of these files holds a line break, and so a stray quote damages one row, not all that follow.
"""

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ferrule.emotions import parse_emotion
from ferrule.errors import DataError
from ferrule.layouts.damage import DamageError
from ferrule.layouts.pixels import is_null
from ferrule.layouts.usages import UNLABELLED, USAGES, parse_usage

_BLOCK_BYTES = 1 << 20  # some 120 rows of FER-2013
_MAX_HEADER_BYTES = 1 << 16
_NEEDED = ("emotion", "pixels", "usage")
_FOREIGN = (
    (b"\x1f\x8b", "gzip data; unpack it first (gunzip)"),
    (b"PK\x03\x04", "a zip archive; name it .zip"),
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
)
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class CsvFile:
    """A CSV file whose header was read.

    `names` are its columns as they stand there, without outer spaces; `emotion`, `pixels` and `usage` the positions of
    those that are used, however the file orders, spells or spaces them; `start` is the first byte after the header.
    Where there is no usage column, `default_usage` holds for every row (None: unknown).
    """

    path: Path
    names: tuple[str, ...]
    pixels: int
    emotion: int | None
    usage: int | None
    start: int
    default_usage: str | None = None

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The columns that are not used."""
        used = (self.emotion, self.pixels, self.usage)
        return tuple(name for position, name in enumerate(self.names) if position not in used)


def open_csv(path: Path) -> CsvFile:
    """Read the header of `path`; raises DataError that says what the file is instead, or which column is not there."""
    names, start = read_header(path)
    positions = {name: _find_column(path, names, name) for name in _NEEDED}
    if positions["pixels"] is None:
        raise DataError(
            f"Expected the columns emotion, pixels and Usage in {path.name}; its first line is {_show(names)}; "
            "give a fer2013.csv, or add that header."
        )
    return CsvFile(path, names, positions["pixels"], positions["emotion"], positions["usage"], start)


def read_header(path: Path) -> tuple[tuple[str, ...], int]:
    """Return the column names of `path`, without outer spaces, and the position of the byte after the header."""
    try:
        with path.open("rb") as file:
            head = file.read(_MAX_HEADER_BYTES)
    except OSError as error:
        raise DataError(f"Expected to read {path}; {error.strerror}; make it readable.") from error
    _refuse_foreign(path, head)
    line, newline, _ = head.partition(b"\n")
    text = line.removeprefix(_BOM).decode("utf-8", "backslashreplace")
    try:
        names = tuple(name.strip() for name in next(csv.reader([text]), ()))
    except csv.Error as error:
        raise DataError(f"Expected a header in {path.name}; its first line is no CSV ({error}); correct it.") from error
    return names, len(line) + len(newline)


def read_lines(file: CsvFile) -> Iterator[tuple[int, list[bytes]]]:
    """Yield blocks of about a megabyte: the number of the first row (from 1), and the lines; blank ones are no rows.

    Raises DataError where a line does not end within such a block.
    """
    row, rest = 1, b""
    with file.path.open("rb") as stream:
        stream.seek(file.start)
        # The line end that is added closes a last line without one.
        for block in itertools.chain(iter(lambda: stream.read(_BLOCK_BYTES), b""), [b"\n"]):
            *lines, rest = (rest + block).split(b"\n")
            lines = [line for line in lines if line and not line.isspace()]
            yield row, lines
            row += len(lines)
            if len(rest) > _BLOCK_BYTES:
                raise DataError(
                    f"Expected rows of some kilobytes in {file.path.name}; row {row} has no end within "
                    f"{_BLOCK_BYTES:,} bytes; repair its line ends."
                )


def count_rows(file: CsvFile) -> int:
    """Return how many rows the file has, readable or not."""
    return sum(len(lines) for _, lines in read_lines(file))


def parse_row(file: CsvFile, line: bytes, also: frozenset[str] = frozenset()) -> tuple[str | None, str | None, bytes]:
    """Return the label, the usage and the pixel string of a line; raises DamageError that tells what is wrong with it.

    The label is None where the file has none, the usage where it is unknown. The words `also` are labels too.
    """
    fields = _split(file, line)
    pixels = fields[file.pixels].strip()
    if file.emotion is None:
        return None, UNLABELLED, pixels
    try:
        label = _parse_label(fields[file.emotion], also)
        usage = file.default_usage if file.usage is None else _parse_usage(fields[file.usage])
    except DamageError:
        if [field.strip().decode("utf-8", "replace") for field in fields] == list(file.names):
            raise DamageError("repeated header", "the header once more") from None
        raise
    return label, usage, pixels


def _refuse_foreign(path: Path, head: bytes) -> None:
    if not head.strip():
        raise DataError(f"Expected rows in {path.name}; it is empty; download it again.")
    for signature, what in _FOREIGN:
        if head.startswith(signature):
            raise DataError(f"Expected CSV text in {path.name}; it is {what}.")
    if b"\0" in head.partition(b"\n")[0] or (b"\n" not in head and len(head) == _MAX_HEADER_BYTES):
        raise DataError(f"Expected CSV text in {path.name}; it is binary, or has no lines; give the right file.")


def _find_column(path: Path, names: tuple[str, ...], wanted: str) -> int | None:
    found = [position for position, name in enumerate(names) if name.casefold() == wanted]
    if len(found) > 1:
        raise DataError(f"Expected one column {wanted} in {path.name}; it has {len(found)}; remove the others.")
    return found[0] if found else None


def _show(names: tuple[str, ...]) -> str:
    text = ",".join(names)
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _split(file: CsvFile, line: bytes) -> list[bytes]:
    fields = _unquote(line) if b'"' in line else line.split(b",")
    if len(fields) != len(file.names):
        raise DamageError("wrong number of columns", f"{len(fields)} columns where the header has {len(file.names)}")
    return fields


def _unquote(line: bytes) -> list[bytes]:
    # latin-1 maps every byte to one character and back, so no byte can fail or change.
    try:
        fields = next(csv.reader([line.decode("latin-1")], strict=True))
    except csv.Error as error:
        raise DamageError("broken quotes", str(error)) from error
    return [field.encode("latin-1") for field in fields]


@lru_cache(maxsize=1024)
def _parse_label(field: bytes, also: frozenset[str]) -> str:
    """Return the class that a number ("3", or "3.0" as pandas writes it) or a name stands for, or a word of `also`."""
    if is_null(field):
        raise DamageError("null label", "no label")
    text = field.decode("utf-8", "backslashreplace").strip()
    word = text.lower().removesuffix(".0")
    if word in also:
        return word
    emotion = parse_emotion(word)
    if emotion is None:
        raise DamageError("unknown label", f"label {text[:40]!r}")
    return emotion


@lru_cache(maxsize=1024)
def _parse_usage(field: bytes) -> str:
    text = field.decode("utf-8", "backslashreplace").strip()
    usage = parse_usage(text)
    if usage is None:
        raise DamageError("unknown usage", f"Usage {text[:40]!r} where {', '.join(USAGES)} are known")
    return usage
