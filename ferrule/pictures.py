"""Pictures about pictures: where each goes, and what is drawn."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ferrule.answers import Answer
from ferrule.errors import ParameterError
from ferrule.files import replacing
from ferrule.layouts.listing import list_files, name_from
from ferrule.layouts.pictures import read_picture

if TYPE_CHECKING:
    from ferrule.predictor import Predictor

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")  # that can be written


class Places:
    """Where a picture about each picture goes: `out` is a file for a single one, and else a folder.

    In a folder they have the names that the pictures have in theirs, or in the one that holds all `sources`. Raises
    ParameterError for a file whose ending names no picture, and `place` where a picture would be written over.
    """

    def __init__(self, out: Path, sources: Sequence[Path]) -> None:
        self._out = out
        self._alone = len(sources) == 1 and not sources[0].is_dir() and not out.is_dir()
        self._base = Path(os.path.commonpath([(each if each.is_dir() else each.parent).resolve() for each in sources]))
        self._read = {_identify(file) for source in sources for file in list_files(source) if file.exists()}
        self._given: set[Path] = set()
        if self._alone and out.suffix.lower() not in _ENDINGS:
            raise ParameterError(f"Expected a picture that ends with {', '.join(_ENDINGS)}; got {out}; rename it.")

    def place(self, path: Path) -> Path:
        """Return where the picture about `path` goes; each place is given once."""
        place = self._out
        if not self._alone:
            place = self._out / name_from(self._base, path.parent.resolve() / path.name)
            place = place if place.suffix.lower() in _ENDINGS else place.with_name(f"{place.name}.png")
        if place.exists() and _identify(place) in self._read:
            raise ParameterError(f"Expected another place than {place}, which is what is read; name another folder.")
        if place in self._given:
            raise ParameterError(f"Expected a place for each picture; got {place} for two; rename one of the two.")
        self._given.add(place)
        return place


def draw_annotated(path: Path, answers: Sequence[Answer], *, crops: bool) -> np.ndarray:
    """Return a picture file with its answers drawn into it, uint8 (h, w, 3) RGB."""
    from ferrule.annotation import annotate
    from ferrule.faces.photos import read_photo

    return annotate(np.repeat(read_picture(path)[..., np.newaxis], 3, axis=2) if crops else read_photo(path), answers)


def draw_explained(path: Path, answers: Sequence[Answer], predictor: "Predictor") -> np.ndarray:
    """Return what speaks for and against each answer about a picture file, uint8 (h, w, 3) RGB."""
    from ferrule.explanation import draw_explanations
    from ferrule.faces.photos import read_photo

    crops = read_picture(path)[np.newaxis] if predictor.crops else predictor.find(read_photo(path))[1]
    maps = [predictor.explain(crop, answer.best) for crop, answer in zip(crops, answers, strict=True)]
    return draw_explanations(crops, answers, maps)


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a picture, uint8 (h, w, 3) RGB, in the format that the ending of `path` names, whole or not at all."""
    import cv2

    done, encoded = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done, "Places gives endings that can be written"
    with replacing(path) as draft:
        draft.write_bytes(encoded.tobytes())


def _identify(path: Path) -> tuple[int, int]:
    """Return what two paths share only where they are one file."""
    found = path.stat()
    return found.st_dev, found.st_ino
