"""The way of a request: photos are decoded and faces found in threads, faces answered in batches, answers told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ferrule.answers import Answer
from ferrule.explanation import explain
from ferrule.faces.crops import frame_face, judge_crops
from ferrule.faces.detector import Face as FoundFace
from ferrule.faces.detector import FaceDetector
from ferrule.faces.photos import decode_photo
from ferrule.layouts.damage import DamageError
from ferrule.layouts.pictures import decode_picture, quiet_opencv
from ferrule.layouts.pixels import decode_text
from ferrule.portable.model import PortableModel
from ferrule.predictor import Predictor
from ferrule.samples import IMAGE_SIZE
from ferrule.web.batching import Batcher
from ferrule.web.following import Follower
from ferrule.web.limits import Limits, RefusalError
from ferrule.web.measures import Measures
from ferrule.web.photos import PhotoPool, Pool
from ferrule.web.schemas import Answerer, Box, Face, Faces, Options, Photo, PhotoOptions, Photos, Pixels, Rule
from ferrule.web.uploads import Upload, plain

# What is wrong with a file, as an HTTP status, where it is the only one.
_STATUS = {"not an image": 415, "image too large": 413}


class _Looked(NamedTuple):
    """A photo that was looked at: its size, the faces in it and their crops; or why it was not.

    A face is None for a picture that is a crop already.
    """

    width: int | None = None
    height: int | None = None
    faces: tuple[FoundFace | None, ...] = ()
    crops: np.ndarray = np.empty((0, IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    problem: DamageError | None = None


@dataclass(frozen=True)
class _Question:
    """What is asked of crops: whether each may be a face, unless a detector has found it, and what it shows."""

    model: PortableModel
    found: bool

    def __call__(self, crops: np.ndarray) -> list[tuple[str | None, np.ndarray]]:
        """Return for each why it is no face (None: it may be one), and its probabilities (k,)."""
        faults = [None] * len(crops) if self.found else judge_crops(crops)
        return list(zip(faults, self.model.probabilities(crops), strict=True))


class Service:
    """One model behind its queues; what `app.py` gives to HTTP."""

    def __init__(
        self,
        follower: Follower,
        make_detector: Callable[[], FaceDetector],
        *,
        limits: Limits,
        abstain: float | None,
    ) -> None:
        if abstain:
            follower.model.abstention(abstain)  # one that cannot be had is an error now, not when somebody asks
        self.follower, self.limits, self.abstain = follower, limits, abstain
        self.measures = Measures()
        self._batcher = Batcher[tuple[str | None, np.ndarray]](
            limits.waiting_crops, observe=self.measures.batches.observe
        )
        self._photos = PhotoPool(limits.photos, make_detector)
        self._explanations = Pool(limits.explanations, "explanations")  # behind which no photo has to wait
        self.measures.waiting_faces.set_function(lambda: self._batcher.waiting)
        self.measures.waiting_photos.set_function(lambda: self._photos.waiting)
        self.measures.waiting_explanations.set_function(lambda: self._explanations.waiting)
        self.measures.degraded.set_function(lambda: follower.trouble is not None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer inside the block."""
        tasks = [asyncio.create_task(self._batcher.run()), asyncio.create_task(self.follower.run())]
        try:
            with quiet_opencv():
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._photos.close()
            self._explanations.close()

    async def answer_uploads(self, uploads: Sequence[Upload], options: PhotoOptions) -> Photos:
        """Answer files; one that cannot be read has its `problem`, unless it is the only one: RefusalError."""
        predictor = self._predictor(options)
        looked = await self._photos.run(*(partial(self._look, upload.data, options) for upload in uploads))
        self.measures.photos.inc(len(looked))
        if all(each.problem for each in looked):
            raise _refuse(looked[0].problem)
        crops = np.concatenate([each.crops for each in looked])
        found = [face for each in looked for face in each.faces]
        told = iter(await self._answer(predictor, found, crops, options))
        files = [
            _tell_photo(upload.name, each, [next(told) for _ in each.faces])
            for upload, each in zip(uploads, looked, strict=True)
        ]
        return Photos(model=tell_answerer(predictor.model), abstain=_tell_rule(predictor), files=files)

    async def answer_pixels(self, pixels: Pixels) -> Faces:
        """Answer faces that came as grey values; raises RefusalError for text that is no such image."""
        predictor = self._predictor(pixels)
        (crops,) = await self._photos.run(partial(_read_pixels, pixels))
        faces = await self._answer(predictor, [None] * len(crops), crops, pixels)
        return Faces(model=tell_answerer(predictor.model), abstain=_tell_rule(predictor), faces=faces)

    def _predictor(self, options: Options) -> Predictor:
        """Return what decides for one request, with the model of this moment: a request never changes its model."""
        wanted = self.abstain if options.abstain is None else options.abstain
        return Predictor(self.follower.model, abstain=wanted or None)

    def _look(self, data: bytes | bytearray, options: PhotoOptions) -> _Looked:
        """Return the faces in a file; runs in a thread of the pool."""
        pixels = self.limits.photo_pixels
        try:
            if options.crops:
                crop = decode_picture(bytes(data), max_pixels=pixels)
                return _Looked(IMAGE_SIZE, IMAGE_SIZE, (None,), crop[np.newaxis])
            photo = decode_photo(bytes(data), max_pixels=pixels)
        except DamageError as damage:
            return _Looked(problem=damage)
        faces, crops = Predictor(self.follower.model, detector=self._photos.detector).find(photo)
        return _Looked(photo.shape[1], photo.shape[0], tuple(faces), crops)

    async def _answer(
        self, predictor: Predictor, found: Sequence[FoundFace | None], crops: np.ndarray, options: Options
    ) -> list[Face]:
        """Return what is said of each crop; `found` has the face in its photo (None: it came as a crop)."""
        if not len(crops):
            return []
        if options.explain and len(crops) > self.limits.explained:
            raise _refuse_explaining(len(crops), self.limits.explained)
        said = await self._batcher.submit(_Question(predictor.model, found=found[0] is not None), crops)
        answers = [Answer(reason=fault) if fault else predictor.decide(Answer(), each) for fault, each in said]
        self.measures.count_labels(answer.label for answer in answers)
        maps: list[np.ndarray | None] = [None] * len(crops)
        if options.explain:
            pairs = zip(crops, answers, strict=True)
            maps = await self._explanations.run(*(partial(_explain, predictor.model, *each) for each in pairs))
        return [_tell_face(*each) for each in zip(found, answers, maps, strict=True)]


def tell_answerer(model: PortableModel) -> Answerer:
    """Return which model it is, for people and programs."""
    return Answerer(title=model.title, version=model.version)


def _read_pixels(pixels: Pixels) -> np.ndarray:
    """Return uint8 (n, 48, 48)."""
    images = np.empty((len(pixels.images), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for number, given in enumerate(pixels.images):
        try:
            text = given.encode("utf-8", "replace") if isinstance(given, str) else None
            image = np.array(given, np.uint8) if text is None else decode_text(text)
        except DamageError as damage:
            raise RefusalError(
                422, f"Expected 48×48 grey values; image {number} has a fault: {plain(damage.detail)}; correct it."
            ) from damage
        images[number] = image.reshape(IMAGE_SIZE, IMAGE_SIZE)
    return images


def _explain(model: PortableModel, crop: np.ndarray, answer: Answer) -> np.ndarray | None:
    return explain(model, crop) if answer.probabilities else None


def _refuse(problem: DamageError | None) -> RefusalError:
    """Return the refusal of a file that cannot be read; what the decoder said may name paths, so it is not told."""
    reason = problem.reason if problem else "unreadable file"
    return RefusalError(_STATUS.get(reason, 422), f"Expected a picture (JPEG, PNG, …); got: {reason}; send another.")


def _refuse_explaining(count: int, most: int) -> RefusalError:
    return RefusalError(
        422, f"Expected at most {most} faces to explain; got {count}; send fewer at once, or ask for no explanation."
    )


def _tell_photo(name: str, looked: _Looked, faces: list[Face]) -> Photo:
    problem = looked.problem.reason if looked.problem else None
    return Photo(file=name, width=looked.width, height=looked.height, faces=faces, problem=problem)


def _tell_rule(predictor: Predictor) -> Rule | None:
    return None if predictor.rule is None else Rule(**asdict(predictor.rule))


def _tell_face(found: FoundFace | None, answer: Answer, places: np.ndarray | None) -> Face:
    told = answer.as_dict()
    box = seen = None
    if found is not None:
        left, top, side = frame_face(found)
        box, seen = (found.x, found.y, found.width, found.height), (left, top, side, side)
    return Face(
        box=_tell_box(box),
        detection=None if found is None else round(found.confidence, 6),
        seen=_tell_box(seen),
        explanation=None if places is None else np.round(places.astype(float), 3).tolist(),
        **{name: told[name] for name in ("label", "confidence", "probabilities", "reason")},
    )


def _tell_box(box: tuple[int, int, int, int] | None) -> Box | None:
    return None if box is None else Box(**dict(zip(("x", "y", "width", "height"), box, strict=True)))
