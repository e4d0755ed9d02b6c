"""Predictor: what the model says of the faces in photos, crops, folders, tables, arrays and videos.

Reading runs ahead in threads, and faces of many pictures go through the network together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ferrule.answers import NO_FACE, UNCERTAIN, UNREADABLE, Answer
from ferrule.errors import DataError
from ferrule.models import AUTO, open_model
from ferrule.samples import IMAGE_SIZE
from ferrule.sources import Item, Source, read_items

if TYPE_CHECKING:
    from ferrule.faces.detector import Face, FaceDetector
    from ferrule.portable.model import PortableModel

_BATCH = 64  # faces that are answered together
_REASONS = {"no face": "nothing in it is like a face"}  # by what `judge_crops` says


class Predictor:
    """Finds the faces and names their expressions, with calibrated probabilities.

        >>> from ferrule import Predictor
        >>> Predictor().predict("photo.jpg")                          # every face in a photo
        >>> Predictor(crops=True).predict("faces/")                   # pictures that are faces already
        >>> Predictor(abstain=0.9).predict("photo.jpg")               # "uncertain" where it would be right too rarely

    `model` is what `ferrule.models.open_model` takes, or an open model. `abstain` (0.50 to 0.99) is the accuracy that
    answers shall have, measured on validation images; where the model is not sure enough for it, the label is
    "uncertain". With `crops`, pictures are faces already, and no detector is asked. One predictor may be used by
    several threads.
    """

    def __init__(
        self,
        model: "str | PortableModel" = AUTO,
        *,
        abstain: float | None = None,
        crops: bool = False,
        precision: str = "float32",
        detector: "FaceDetector | None" = None,
        name: str | None = None,
    ) -> None:
        self.model = open_model(model, name=name, precision=precision) if isinstance(model, str) else model
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
        return list(self.iterate([source]))

    def iterate(
        self, sources: Sequence[Source], *, progress: Callable[[int], object] | None = None
    ) -> Iterator[Answer]:
        """Yield the answers about several sources, in order, as they come; memory does not grow with their number.

        `progress` is called with how many pictures or rows were looked at since the last call.
        """
        found: list[_Found] = []
        for source in sources:
            for item in read_items(source, crops=self.crops):
                found += self._look(item)
                if progress:
                    progress(1)
                if len(found) >= _BATCH:
                    yield from self._answer(found)
                    found = []
        yield from self._answer(found)

    def predict_crops(self, images: np.ndarray) -> list[Answer]:
        """Return an answer for each crop, uint8 (n, 48, 48): what is no face at all is told apart from an emotion."""
        return self._answer([_Found(Answer(row=row), image) for row, image in enumerate(images, 1)])

    def find(self, photo: np.ndarray) -> "tuple[list[Face], np.ndarray]":
        """Return the faces in a photo, uint8 (h, w, 3) RGB, the largest first, and their crops, uint8 (n, 48, 48)."""
        from ferrule.faces.crops import crop_face

        faces = self.detector.detect(photo)
        crops = [crop_face(photo, face) for face in faces]
        return faces, np.array(crops, np.uint8).reshape(-1, IMAGE_SIZE, IMAGE_SIZE)

    def explain(self, crop: np.ndarray, label: str | None = None) -> np.ndarray:
        """Return where a crop, uint8 (48, 48), speaks for `label` (by default what it is taken for) and where against.

        float32 (48, 48) from -1 to 1; see `ferrule.explanation`. Raises DataError for a label that is no class.
        """
        from ferrule.explanation import explain

        return explain(self.model, crop, label)

    def decide(self, answer: Answer, probabilities: np.ndarray) -> Answer:
        """Return `answer` with the calibrated `probabilities` (k,) of its face and the label they give."""
        confidence = float(probabilities.max())
        label = self.model.classes[int(probabilities.argmax())]
        if self.rule is not None and self.rule.abstains(np.array(confidence)):
            label = UNCERTAIN
        named = dict(zip(self.model.classes, probabilities.tolist(), strict=True))
        return replace(answer, label=label, confidence=confidence, probabilities=named, reason=None)

    def _look(self, item: Item) -> "list[_Found]":
        """Return the faces in a picture, or the answer that there is none."""
        answer = Answer(item.path, item.row)
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

        crops = [each.crop for each in found if each.crop is not None]
        if not crops:
            return [each.answer for each in found]
        images = np.stack(crops)
        judged, probabilities = iter(judge_crops(images)), iter(self.model.probabilities(images))
        return [
            each.answer if each.crop is None else self._name(each.answer, next(judged), next(probabilities))
            for each in found
        ]

    def _name(self, answer: Answer, fault: str | None, probabilities: np.ndarray) -> Answer:
        if fault is not None and answer.box is None:
            return replace(answer, label=NO_FACE, reason=_REASONS.get(fault, fault))
        return self.decide(answer, probabilities)


class _Found(NamedTuple):
    """An answer to be, with its face where there is one."""

    answer: Answer
    crop: np.ndarray | None = None
