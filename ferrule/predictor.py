"""Predictor: what the model says of the faces in photos, crops, folders, tables, arrays and videos.

Reading runs ahead in threads, and faces of many pictures go through the network together.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ferrule.answers import NO_FACE, UNCERTAIN, UNREADABLE, Answer
from ferrule.errors import DataError, ParameterError
from ferrule.models import AUTO, open_folder, open_model
from ferrule.portable.model import PortableModel
from ferrule.samples import IMAGE_SIZE
from ferrule.sources import Item, Source, read_items, read_sources

if TYPE_CHECKING:
    from ferrule.faces.detector import Face, FaceDetector

_BATCH = 64  # faces that are answered together
_REASONS = {"no face": "nothing in it is like a face"}  # by what `judge_crops` says


class Predictor:
    """Finds the faces and names their expressions, with calibrated probabilities.

        >>> from ferrule import Predictor
        >>> Predictor().predict("photo.jpg")                          # every face in a photo
        >>> Predictor(crops=True).predict("faces/")                   # pictures that are faces already
        >>> Predictor(abstain=0.9).predict("photo.jpg")               # "uncertain" where it would be right too rarely

    `model` is what `ferrule.models.open_model` takes, the path of an exported model's folder, or an open model.
    `abstain` (0.50 to 0.99) is the accuracy that answers shall have, measured on validation images; where the model is
    not sure enough for it, the label is "uncertain". With `crops`, pictures are faces already, and no detector is
    asked. One predictor may be used by several threads. Raises ParameterError for what is none of these.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | PortableModel = AUTO,
        *,
        abstain: float | None = None,
        crops: bool = False,
        precision: str = "float32",
        detector: "FaceDetector | None" = None,
        name: str | None = None,
    ) -> None:
        _check_settings(abstain, detector)
        self.model = _open(model, name, precision)
        self.rule = None if abstain is None else self.model.abstention(abstain)
        self.crops = crops
        if detector is not None:
            self.detector = detector

    @cached_property
    def detector(self) -> "FaceDetector":
        """What finds faces in photos; crops need none, so it is opened when it is first asked."""
        from ferrule.faces.detector import MtcnnDetector

        return MtcnnDetector()

    def predict(self, source: Source) -> list[Answer]:
        """Return an answer for each face, those of a photo largest first; for what has none, an answer that says why.

        `source` is a path (photo, folder, CSV, Parquet, .npy), the bytes of a picture, or an array; see
        `ferrule.sources.read_items`. Raises DataError where there is no such file, or for an array of another kind.
        """
        return list(self._answer_items(read_items(source, crops=self.crops)))

    def iterate(
        self, sources: Sequence[Source], *, progress: Callable[[int], object] | None = None
    ) -> Iterator[Answer]:
        """Yield the answers about several sources, in order, as they come; memory does not grow with their number.

        A path at which there is nothing is an answer too, "unreadable". `progress` is called with how many pictures or
        rows were looked at since the last call.
        """
        return self._answer_items(read_sources(sources, crops=self.crops), progress)

    def predict_crops(self, images: np.ndarray) -> list[Answer]:
        """Return an answer for each crop, uint8 (n, 48, 48): what is no face at all is told apart from an emotion.

        Raises DataError for pixels of another kind.
        """
        rows = enumerate(map(_check_crop, images), 1)
        return self._answer([_Found(Answer(row=row, model=self.model.title), image) for row, image in rows])

    def find(self, photo: np.ndarray) -> "tuple[list[Face], np.ndarray]":
        """Return the faces in a photo, uint8 (h, w, 3) RGB, the largest first, and their crops, uint8 (n, 48, 48)."""
        from ferrule.faces.crops import crop_face

        faces = self.detector.detect(photo)
        return faces, _stack(crop_face(photo, face) for face in faces)

    def explain(self, crop: np.ndarray, label: str | None = None) -> np.ndarray:
        """Return where a crop, uint8 (48, 48), speaks for `label` (by default what it is taken for) and where against.

        float32 (48, 48) from -1 to 1; see `ferrule.explanation`. Raises DataError for what is no crop, and for a label
        that is no class.
        """
        from ferrule.explanation import explain

        return explain(self.model, _check_crop(crop), label)

    def decide(self, answer: Answer, probabilities: np.ndarray) -> Answer:
        """Return `answer` with the calibrated `probabilities` (k,) of its face and the label they give."""
        confidence = float(probabilities.max())
        label = self.model.classes[int(probabilities.argmax())]
        if self.rule is not None and self.rule.abstains(np.array(confidence)):
            label = UNCERTAIN
        named = dict(zip(self.model.classes, probabilities.tolist(), strict=True))
        return replace(answer, label=label, confidence=confidence, probabilities=named, reason=None)

    def _answer_items(self, items: Iterable[Item], progress: Callable[[int], object] | None = None) -> Iterator[Answer]:
        found: list[_Found] = []
        for item in items:
            found += self._look(item)
            if progress:
                progress(1)
            if len(found) >= _BATCH:
                yield from self._answer(found)
                found = []
        yield from self._answer(found)

    def _look(self, item: Item) -> "list[_Found]":
        """Return the faces in a picture, or the answer that there is none."""
        answer = Answer(item.path, item.row, model=self.model.title)
        if item.reason is not None:
            return [_Found(replace(answer, label=UNREADABLE, reason=item.reason))]
        if item.video is not None:
            return self._watch(answer, item.video)
        if item.photo is None:
            return [_Found(answer, item.crop)]
        faces, crops = self.find(item.photo)
        if not faces:
            return [_Found(replace(answer, label=NO_FACE, reason="no face was found"))]
        return [
            _Found(replace(answer, box=(face.x, face.y, face.width, face.height), detection=face.confidence), crop)
            for face, crop in zip(faces, crops, strict=True)
        ]

    def _watch(self, answer: Answer, video: Path) -> "list[_Found]":
        """Return the answers about a video, or the one that it cannot be read."""
        from ferrule.video import analyse_video

        try:
            return [_Found(each) for each in analyse_video(video, self).answers]
        except DataError as error:
            return [_Found(replace(answer, label=UNREADABLE, reason=str(error)))]

    def _answer(self, found: "Sequence[_Found]") -> list[Answer]:
        """Return the answers; crops that no detector has looked at are judged first."""
        from ferrule.faces.crops import judge_crops

        answers = [each.answer for each in found]
        faces = {at: each.crop for at, each in enumerate(found) if each.crop is not None}
        unseen = [at for at in faces if answers[at].box is None]
        for at, fault in zip(unseen, judge_crops(_stack(faces[at] for at in unseen)), strict=True):
            if fault is not None:
                answers[at] = replace(answers[at], label=NO_FACE, reason=_REASONS.get(fault, fault))
                del faces[at]
        for at, probabilities in zip(faces, self.model.probabilities(_stack(faces.values())), strict=True):
            answers[at] = self.decide(answers[at], probabilities)
        return answers


def _check_settings(abstain: object, detector: object) -> None:
    if not (abstain is None or isinstance(abstain, Real)):
        raise ParameterError(f"Expected an accuracy, as 0.8, to abstain by; got {abstain!r}; give a number.")
    if not (detector is None or callable(getattr(detector, "detect", None))):
        raise ParameterError(
            f"Expected a detector with detect(photo), as MtcnnDetector(); got {type(detector).__name__}; give one."
        )


def _open(model: str | os.PathLike[str] | PortableModel, name: str | None, precision: str) -> PortableModel:
    if isinstance(model, str):
        return open_model(model, name=name, precision=precision)
    if isinstance(model, os.PathLike):
        return open_folder(Path(model), precision)
    if not callable(getattr(model, "probabilities", None)):
        raise ParameterError(
            f"Expected a model by its name or folder, or an open one; got {type(model).__name__}; give one of them."
        )
    return model


def _check_crop(crop: np.ndarray) -> np.ndarray:
    """Return a crop; raises DataError for what is none."""
    shape, kind = np.shape(crop), getattr(crop, "dtype", type(crop).__name__)
    if shape != (IMAGE_SIZE, IMAGE_SIZE) or kind != np.uint8:
        raise DataError(
            f"Expected a crop, uint8 ({IMAGE_SIZE}, {IMAGE_SIZE}), grey, as Predictor.find gives them; got {kind} "
            f"{shape}; find the faces of a photo first."
        )
    return crop


def _stack(crops: Iterable[np.ndarray]) -> np.ndarray:
    """Return uint8 (n, 48, 48), n being 0 or more."""
    return np.array(list(crops), np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE)


class _Found(NamedTuple):
    """An answer to be, with its face where there is one."""

    answer: Answer
    crop: np.ndarray | None = None
