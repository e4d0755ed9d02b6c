"""Where `ferrule predict` writes: checked before anything is read, so that no input is lost and no work in vain."""

import os
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from ferrule.errors import ParameterError

if TYPE_CHECKING:
    from ferrule.commands.request import Request


def check_outputs(request: "Request") -> None:
    """Raise ParameterError where an output is what is read, or another output, or could not be written."""
    from ferrule.sources import refuse_overwriting

    given = {
        "--out": request.out,
        "--timeline": request.timeline,
        "--annotate": request.annotate,
        "--explain": request.explain,
    }
    places = {option: place for option, place in given.items() if place is not None}
    for (option, place), (other, same) in combinations(places.items(), 2):
        if _is_same(place, same):
            raise ParameterError(f"Expected two places for {option} and {other}; got {place} for both; name another.")
    for option, place in places.items():
        drawn = option in ("--annotate", "--explain") and request.video is None
        if drawn and (len(request.paths) > 1 or any(path.is_dir() for path in request.paths)):
            _check_folder(option, place)
        elif place.is_dir() and not drawn:
            raise ParameterError(f"Expected a file for {option}; {place} is a folder; name a file in it.")
        refuse_overwriting(place, request.paths)
        _check_writable(option, place)


def _is_same(place: Path, other: Path) -> bool:
    if place.exists() and other.exists():
        return place.samefile(other)
    return os.path.realpath(place) == os.path.realpath(other)


def _check_folder(option: str, place: Path) -> None:
    """Raise ParameterError for what is a file, or is called like a picture, where a folder is needed."""
    import cv2

    if place.exists():
        found = "" if place.is_dir() else "which is a file"
    else:
        found = "which is called like a picture" if cv2.haveImageWriter(f"x{place.suffix}") else ""
    if found:
        raise ParameterError(
            f"Expected a folder for {option}, as for several pictures; got {place}, {found}; name one."
        )


def _check_writable(option: str, place: Path) -> None:
    """Raise ParameterError unless `place`, or the nearest folder above it that is there, can be written in."""
    around = (place, *place.absolute().parents) if place.is_dir() else place.absolute().parents
    folder = next(each for each in around if each.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise ParameterError(
            f"Expected a place to write for {option}; cannot write in {folder}; name another, or allow it."
        )
