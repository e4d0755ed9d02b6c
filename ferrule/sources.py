"""What one can ask about, as single pictures in order: photos, crops, folders, tables of pixels, arrays.

Every picture comes with the place where it lies; what cannot be read comes with the reason instead, and stops nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import numpy as np

from ferrule.engine import map_chunks, worker_count
from ferrule.errors import DataError, ParameterError
from ferrule.layouts.damage import DamageError
from ferrule.layouts.listing import list_files
from ferrule.layouts.pictures import decode_picture, quiet_opencv, read_picture, resize_image
from ferrule.samples import IMAGE_SIZE

Source = str | os.PathLike[str] | bytes | np.ndarray

TABLES = (".csv", ".parquet")
ARRAY = ".npy"
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".3gp", ".ogv")

_CHUNK = 256  # rows
_CHANNELS = (1, 3, 4)  # of a picture with a third axis: grey, RGB, RGB with transparency
_AHEAD = 4  # photos that are read before they are looked at: one may take hundreds of megabytes


@dataclass(frozen=True)
class Item:
    """A picture and its place: a photo, uint8 (h, w, 3) RGB, a crop, uint8 (48, 48), a video; or why there is none."""

    path: str = ""
    row: int | None = None
    photo: np.ndarray | None = None
    crop: np.ndarray | None = None
    video: Path | None = None
    reason: str | None = None


def read_items(source: Source, *, crops: bool) -> Iterator[Item]:
    """Yield what is in a file, a folder (at any depth, in natural order), the bytes of a picture or an array, uint8.

    Rows of CSV and Parquet files, and arrays (n, 48, 48), are crops; other pictures are, if `crops`, and else photos.
    An array is one picture, (h, w) grey or (h, w, 3) RGB, or several, (n, 48, 48) or (n, h, w, 3); grey may have a last
    axis of 1, and RGB a fourth value, transparency, which is dropped. Raises DataError where there is no such file, for
    an array of another kind, and for what is none of all these.
    """
    if isinstance(source, np.ndarray):
        yield from _read_array(source, "", crops=crops)
    elif isinstance(source, bytes):
        yield _attempt("", partial(_decode, source, crops=crops))
    else:
        yield from _read_files(list_sources(source), crops=crops)


def read_sources(sources: Iterable[Source], *, crops: bool) -> Iterator[Item]:
    """Yield what `read_items` yields of each in turn; paths that follow each other are read ahead as one folder is.

    A path at which there is nothing stops nothing either: it comes with that reason. Raises DataError where `sources`
    is a single one.
    """
    if isinstance(sources, str | bytes | os.PathLike):
        raise DataError(f"Expected several sources, as a list; got one {type(sources).__name__}; for one use predict.")
    for of_paths, group in groupby(sources, key=lambda source: not isinstance(source, bytes | np.ndarray)):
        if of_paths:
            yield from _read_files(chain.from_iterable(list_files(_as_path(path)) for path in group), crops=crops)
        else:
            yield from chain.from_iterable(read_items(source, crops=crops) for source in group)


def list_sources(source: str | os.PathLike[str]) -> list[Path]:
    """Return the files that a path stands for; raises DataError where it is none."""
    path = _as_path(source)
    if not _is_there(path):
        raise DataError(f"Expected a file or folder at {path}; there is none; check the path.")
    return list_files(path)


def count_items(source: Source) -> int:
    """Return about how many items `read_items` will yield: of a large table it is estimated from its size."""
    if isinstance(source, np.ndarray):
        return len(_as_pictures(source, ""))
    return 1 if isinstance(source, bytes) else sum(map(_count_rows, list_sources(source)))


def is_video(path: Path) -> bool:
    """Tell by its ending whether a file is a video."""
    return path.suffix.lower() in VIDEOS


def is_picture(path: Path) -> bool:
    """Tell by its ending whether a file is taken for a picture: what is no table, array or video is."""
    return _kind(path) is None


def refuse_overwriting(out: Path, sources: Iterable[str | os.PathLike[str]]) -> None:
    """Raise ParameterError where `out` is one of the files that `sources` stand for, by whatever name or link."""
    if not out.exists():
        return
    if any(file.exists() and file.samefile(out) for source in sources for file in list_sources(source)):
        raise ParameterError(f"Expected another place than {out}, which is what is read; name another file.")


def _as_path(source: object) -> Path:
    """Return a path, with "~" for the home folder; raises DataError for what is none."""
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"Expected a path, bytes or an array; got {type(source).__name__}; for several use iterate, with a list."
        )
    path = Path(source)
    return path if _is_there(path) else path.expanduser()  # a file may well be called "~x"


def _is_there(path: Path) -> bool:
    """Tell whether a path exists; a link that leads nowhere does: in a folder it is one file that cannot be read."""
    return path.exists() or path.is_symlink()


def _count_rows(path: Path) -> int:
    if path.suffix.lower() == ".csv":
        return max(1, path.stat().st_size // 8400)  # bytes of a row of FER-2013, on average
    if path.suffix.lower() == ".parquet":
        return max(1, path.stat().st_size // 1700)  # the same, of its pixels compressed
    return 1


def _read_files(files: Iterable[Path], *, crops: bool) -> Iterator[Item]:
    for kind, group in groupby(files, key=_kind):
        if kind is None:
            yield from _read_pictures(group, crops=crops)
            continue
        for path in group:
            try:
                yield from _READERS[kind](path, crops)
            except (DataError, OSError) as error:
                yield Item(_name(path), reason=str(error))


def _kind(path: Path) -> str | None:
    """Return the ending of a file that is no picture."""
    ending = path.suffix.lower()
    return ending if ending in _READERS else None


def _read_pictures(paths: Iterable[Path], *, crops: bool) -> Iterator[Item]:
    def read(path: Path) -> Item:
        return _attempt(_name(path), partial(_open_picture, path, crops=crops))

    with ThreadPoolExecutor(worker_count()) as executor, quiet_opencv():
        yield from map_chunks(read, paths, executor, _AHEAD)


def _open_picture(path: Path, *, crops: bool) -> Item:
    if crops:
        return Item(crop=read_picture(path))
    from ferrule.faces.photos import read_photo

    return Item(photo=read_photo(path))


def _decode(data: bytes, *, crops: bool) -> Item:
    if crops:
        return Item(crop=decode_picture(data))
    from ferrule.faces.photos import decode_photo

    return Item(photo=decode_photo(data))


def _attempt(path: str, read: Callable[[], Item]) -> Item:
    try:
        item = read()
    except DamageError as damage:
        return Item(path, reason=f"{damage.reason}: {damage.detail}")
    return Item(path, photo=item.photo, crop=item.crop)


def _read_table(path: Path, crops: bool) -> Iterator[Item]:
    from ferrule.layouts.streaming import stream_images  # needs pandas

    name = _name(path)
    for chunk in stream_images(path, _CHUNK):
        items = [Item(name, row, crop=image) for row, image in zip(chunk.rows, chunk.images, strict=True)]
        items += [Item(name, reject.row, reason=f"{reject.reason}: {reject.detail}") for reject in chunk.rejects]
        yield from sorted(items, key=lambda item: item.row or 0)


def _read_npy(path: Path, crops: bool) -> Iterator[Item]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(
            f"Expected an array in {path.name}, as numpy.save writes it; {error}; save it again."
        ) from error
    yield from _read_array(array, _name(path), crops=crops)


def _open_video(path: Path, crops: bool) -> Iterator[Item]:
    yield Item(_name(path), video=path)


_READERS: dict[str, Callable[[Path, bool], Iterator[Item]]] = {
    **dict.fromkeys(TABLES, _read_table),
    **dict.fromkeys(VIDEOS, _open_video),
    ARRAY: _read_npy,
}


def _read_array(array: np.ndarray, name: str, *, crops: bool) -> Iterator[Item]:
    pictures = _as_pictures(array, name)
    for row, picture in enumerate(pictures, 1):
        place = row if len(pictures) > 1 else None
        if picture.shape == (IMAGE_SIZE, IMAGE_SIZE) and (crops or array.shape[1:3] == picture.shape):
            yield Item(name, place, crop=np.array(picture))
        elif crops:
            yield Item(name, place, crop=_shrink(picture))
        else:
            yield Item(name, place, photo=_colour(picture))


def _as_pictures(array: np.ndarray, name: str) -> np.ndarray:
    """Return the pictures, (n, 48, 48) or (n, h, w[, 3]); raises DataError where the array is none."""
    if array.dtype == np.uint8 and 2 <= array.ndim <= 4 and array.size:
        if array.ndim == 2 or array.shape[1:] == (IMAGE_SIZE, IMAGE_SIZE):
            return array.reshape(-1, *array.shape[-2:])
        if array.ndim > 2 and array.shape[-1] in _CHANNELS:
            pictures = array[..., 0] if array.shape[-1] == 1 else array[..., :3]
            return pictures if array.ndim == 4 else pictures[np.newaxis]
    raise DataError(
        f"Expected uint8 pixels, 0 to 255, of the shape (h, w), (h, w, 3), (n, {IMAGE_SIZE}, {IMAGE_SIZE}) or "
        f"(n, h, w, 3){' in ' + name if name else ''}; got {array.dtype} {array.shape}; convert them first."
    )


def _shrink(picture: np.ndarray) -> np.ndarray:
    """Return a picture as a crop, in the way of one that lies in a file."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else np.array(picture)
    return resize_image(grey)


def _colour(picture: np.ndarray) -> np.ndarray:
    return np.array(picture if picture.ndim == 3 else np.repeat(picture[..., np.newaxis], 3, axis=2))


def _name(path: Path) -> str:
    """Return the path as it was given; bytes that are no UTF-8 are shown as escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")
