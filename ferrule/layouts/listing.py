"""What lies in a folder, in an order and by names that no system changes, without what operating systems put there."""

import re
from pathlib import Path

from ferrule.errors import DataError

_JUNK = {"thumbs.db", "desktop.ini", "__macosx"}


def list_visible(folder: Path) -> list[Path]:
    """Return what lies in `folder`, without hidden and system files, in natural order (2.jpg before 10.jpg)."""
    try:
        entries = [entry for entry in folder.iterdir() if not _is_junk(entry.name)]
    except OSError as error:
        raise DataError(f"Expected to list the folder {folder}; {error.strerror}; make it readable.") from error
    return sorted(entries, key=lambda entry: _natural_key(entry.name))


def list_folders(folder: Path) -> list[Path]:
    """Return the folders that lie in `folder`, as `list_visible` does."""
    return [entry for entry in list_visible(folder) if entry.is_dir()]


def list_csv_files(folder: Path) -> list[Path]:
    """Return the CSV files that lie in `folder`, as `list_visible` does."""
    return [entry for entry in list_visible(folder) if entry.suffix.lower() == ".csv" and entry.is_file()]


def list_files(path: Path) -> list[Path]:
    """Return `path` if it is a file, and else the visible files at any depth of it, in natural order.

    Links to folders are not followed: they may lead in circles.
    """
    if not path.is_dir():
        return [path]
    folders = [entry for entry in list_visible(path) if not (entry.is_dir() and entry.is_symlink())]
    return [file for entry in folders for file in list_files(entry)]


def name_from(base: Path, path: Path) -> str:
    """Return `path` from `base`, the same on every system; bytes that are no UTF-8 are shown as escapes."""
    return path.relative_to(base).as_posix().encode(errors="surrogateescape").decode(errors="backslashreplace")


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def _natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    # re.split gives text and numbers in turn, so the parts of two names always compare like with like.
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if at % 2 else (0, part) for at, part in enumerate(parts)], name
