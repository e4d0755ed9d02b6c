"""Put data in its place: the recognised files of a folder or archive, and only those, copied whole or not at all."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from ferrule.errors import DataError
from ferrule.layouts.archives import is_archive, unpack
from ferrule.layouts.csvfiles import count_rows
from ferrule.layouts.detection import Layout, detect_layout


def place_data(source: Path, destination: Path) -> str:
    """Put the recognised files of `source` (CSV, folder or archive) under `destination`; return a line about them.

    They are copies, so later changes to the source do not reach them. What `destination` held before is replaced, at
    the very end; on any error it stays as it was. Raises DataError where nothing is recognised or something cannot be
    read.
    """
    if not source.exists():
        raise DataError(f"Expected a file or folder at {source}; there is none; check the path.")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{destination.name}.", dir=destination.parent) as name:
            return _place(source, destination, Path(name))
    except OSError as error:
        culprit = os.fsencode(error.filename or source).decode(errors="backslashreplace")
        raise DataError(f"Expected to copy {culprit}; {error.strerror or error}; put that right.") from error


def _place(source: Path, destination: Path, workspace: Path) -> str:
    packed = source.is_file() and is_archive(source)
    if packed:
        unpacked = workspace / "unpacked" / source.name  # the name, because errors show the path
        unpacked.mkdir(parents=True)
        unpack(source, unpacked)
    layout = detect_layout(unpacked if packed else source)
    if layout.tables and not any(count_rows(table) for table in layout.tables):
        raise DataError(
            f"Expected rows in {layout.tables[0].path.name}; it has a header and nothing else; get it again."
        )
    description = layout.describe()
    _fill(workspace / "placed", layout, move=packed)
    _swap(workspace / "placed", destination, workspace / "former")
    return f"{source.name}, unpacked: {description}" if packed else description


def _fill(folder: Path, layout: Layout, *, move: bool) -> None:
    folder.mkdir()
    for path, place in layout.files.items():
        _check_name(place)
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if move:
            path.rename(target)
        elif path.is_dir():
            target.mkdir()  # a folder among the images; ingest rejects it
        else:
            shutil.copyfile(path, target)


def _check_name(place: Path) -> None:
    try:
        str(place).encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(place).decode(errors="backslashreplace")
        raise DataError(f"Expected file names in UTF-8, as DVC does; {shown} is not; rename that file.") from error


def _swap(folder: Path, destination: Path, former: Path) -> None:
    if destination.exists():
        destination.rename(former)
    try:
        folder.rename(destination)
    except OSError:
        if former.exists():
            former.rename(destination)
        raise
