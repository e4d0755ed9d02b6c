"""Unpack a .zip or .tar archive that someone else made: inside the folder given, without links, within limits."""

import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from ferrule.errors import DataError

MAX_FILES = 1_000_000
MAX_BYTES = 16 << 30  # unpacked; FER-2013 is 0.3 GB

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_CHUNK_BYTES = 1 << 20


def is_archive(path: Path) -> bool:
    """Tell by its name whether a file is an archive that `unpack` knows."""
    return path.name.lower().endswith(_SUFFIXES)


def unpack(archive: Path, folder: Path, *, max_files: int = MAX_FILES, max_bytes: int = MAX_BYTES) -> None:
    """Unpack all files of `archive` under `folder`, which must be there and empty.

    Raises DataError for an archive that is damaged, encrypted or cut short, and for one that holds links, devices,
    paths that lead out of the folder, more than `max_files` files or more than `max_bytes` bytes (counted as they come
    out, whatever it says).
    """
    members = _read_zip(archive) if archive.suffix.lower() == ".zip" else _read_tar(archive)
    room = max_bytes
    try:
        for number, (name, content) in enumerate(members, 1):
            if number > max_files:
                raise DataError(
                    f"Expected at most {max_files:,} files in {archive.name}; it has more; unpack it yourself."
                )
            room -= _write_member(content, _find_place(folder, name, archive), room)
            if room < 0:
                raise DataError(
                    f"Expected at most {max_bytes:,} bytes in {archive.name}; it unpacks to more; unpack it yourself."
                )
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise DataError(
            f"Expected a whole archive; {archive.name} cannot be unpacked ({reason}); get it again."
        ) from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile: a password, or a method it does not know
        raise DataError(f"Expected a plain archive; {archive.name}: {error}; unpack it yourself.") from error


def _read_zip(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _refuse(archive, info.filename, "a link")
            if not info.is_dir():
                with file.open(info) as content:
                    yield info.filename, content


def _read_tar(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as file:
        for info in file:
            if info.isdir():
                continue
            content = file.extractfile(info) if info.isreg() else None
            if content is None:
                raise _refuse(archive, info.name, "a link or a device")
            yield info.name, content


def _find_place(folder: Path, name: str, archive: Path) -> Path:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or re.match("[A-Za-z]:", name):
        raise _refuse(archive, name, "a path that leads out of its folder")
    return folder / path


def _write_member(content: IO[bytes], target: Path, room: int) -> int:
    """Copy one member to `target`; stop as soon as more than `room` bytes were written; return how many were."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with target.open("xb") as file:
        while written <= room and (chunk := content.read(_CHUNK_BYTES)):
            written += file.write(chunk)
    return written


def _refuse(archive: Path, name: str, what: str) -> DataError:
    return DataError(f"Expected only plain files in {archive.name}; {name!r} is {what}; unpack it yourself.")
