"""Pictures about pictures: where each goes, and what is drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ferrule.answers import Answer
from ferrule.errors import ParameterError
from ferrule.files import replacing
from ferrule.layouts.listing import name_from
from ferrule.layouts.pictures import read_picture

if TYPE_CHECKING:
    from ferrule.predictor import Predictor

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")  # that can be written


class Places:
    """Where a picture about each picture goes: `out` is a file for a single one, and else a folder.

    In a folder they have the names that the pictures have in theirs. Raises ParameterError for a file whose ending
    names no picture, and `place` where a picture would be written over.
    """

    def __init__(self, out: Path, sources: Sequence[Path]) -> None:
        self._out = out
        self._alone = len(sources) == 1 and not sources[0].is_dir() and not out.is_dir()
        self._bases = {source if source.is_dir() and len(sources) == 1 else source.parent for source in sources}
        if self._alone and out.suffix.lower() not in _ENDINGS:
            raise ParameterError(f"Expected a picture that ends with {', '.join(_ENDINGS)}; got {out}; rename it.")

    def place(self, path: Path) -> Path:
        """Return where the picture about `path` goes."""
        place = self._out
        if not self._alone:
            base = next((base for base in self._bases if path.is_relative_to(base)), path.parent)
            place = self._out / name_from(base, path)
            place = place if place.suffix.lower() in _ENDINGS else place.with_name(f"{place.name}.png")
        if place.exists() and place.samefile(path):
            raise ParameterError(f"Expected another place than {path}, which is what is read; name another folder.")
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
