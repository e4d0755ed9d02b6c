"""What lies in a folder: without what operating systems put there, and in an order that no system changes."""

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


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in _JUNK


def _natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    # re.split gives text and numbers in turn, so the parts of two names always compare like with like.
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if at % 2 else (0, part) for at, part in enumerate(parts)], name
