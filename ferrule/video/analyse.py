"""A video from end to end: its frames sampled, faces found, followed and named, and what came of it as a result."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from ferrule.answers import NO_FACE, UNCERTAIN, Answer
from ferrule.errors import DataError, ParameterError
from ferrule.predictor import Predictor
from ferrule.sources import refuse_overwriting
from ferrule.video.annotated import draw_frames
from ferrule.video.files import check_ending, record_frames, write_video
from ferrule.video.frames import Frame, Video, replay, sample_frames, steady_rate, usual_step
from ferrule.video.smoothing import smooth
from ferrule.video.tracks import Box, Tracker

RATE = 5.0  # frames a second that are looked at
SMOOTHING = 0.3  # seconds; docs/video.md has what speaks for it

# Called with how many seconds of video are done, and of how many: None where nobody knows.
Progress = Callable[[float, float | None], object]

_RECORDING = "recording.avi"
_CAMERA_RATE = 25.0  # of the recording's head, which nobody reads: its frames have times of their own


@dataclass(frozen=True)
class Track:
    """A face from `first` to `last`, in seconds, with `looks` answers.

    `label` is the class it was given most often, or UNCERTAIN where it was given none; `probabilities` are means over
    its looks, `uncertain` is the share of looks in which it was given none.
    """

    number: int
    first: float
    last: float
    looks: int
    label: str
    probabilities: dict[str, float]
    uncertain: float


@dataclass(frozen=True)
class VideoResult:
    """What was seen: `answers`, one a face and frame looked at, or one that says that there is no face; and `tracks`.

    `name` is the file or webcam, `model` the title of what named the faces. `seconds` is the time of the last frame
    that was read, `looks` the number of frames looked at, and `step` the usual time between two of these. `rate` and
    `smoothing` are as they were asked for. `notes` are sentences on what went otherwise than one would think.
    """

    name: str
    model: str
    classes: tuple[str, ...]
    rate: float
    smoothing: float
    seconds: float
    looks: int
    step: float
    answers: list[Answer]
    tracks: list[Track]
    notes: list[str]


def analyse_video(
    source: str | os.PathLike[str] | int | Video,
    predictor: Predictor,
    *,
    rate: float = RATE,
    smoothing: float = SMOOTHING,
    max_seconds: float | None = None,
    annotate: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> VideoResult:
    """Look at a file, or at the webcam of that number until Ctrl-C or `max_seconds`, and return what was seen.

    `rate` frames a second are looked at (all, where there are fewer), and the probabilities of each face are smoothed
    over `smoothing` seconds (0: not at all) before it is decided what it shows, or that it is uncertain. `annotate` is
    where a copy of the video is written, with boxes and bars, without sound. Memory grows by the answers alone.

    Raises DataError for what is no video, or an empty one, and ParameterError for settings out of range.
    """
    _check_settings(rate, smoothing, max_seconds)
    source = _name_source(source)
    copy = None if annotate is None else Path(annotate)
    if copy:
        _check_copy(copy, source)
    with source if isinstance(source, Video) else Video.open(source) as video, TemporaryDirectory() as folder:
        total = min(filter(None, (video.seconds, max_seconds)), default=None)
        frames, kept = video.frames(max_seconds), Path(folder) / _RECORDING
        if video.live and copy:
            frames = record_frames(frames, kept, _CAMERA_RATE)
        looks = _look(frames, predictor, rate, lambda seconds: progress and progress(seconds, total), live=video.live)
        answers = _answer(looks, predictor, video.name, smoothing)
        step = usual_step([look.seconds for look in looks]) or 1 / rate
        if copy:
            evenly = steady_rate(video.times)
            again = replay(source if isinstance(source, Path) else kept, video.times)
            drawn = draw_frames(again, answers, rate=evenly, step=step)
            write_video(drawn, copy, evenly, lambda seconds: progress and progress(seconds, video.times[-1]))
    note = video.ended_early()
    return VideoResult(
        name=video.name,
        model=predictor.model.title,
        classes=predictor.model.classes,
        rate=rate,
        smoothing=smoothing,
        seconds=video.times[-1],
        looks=len(looks),
        step=step,
        answers=answers,
        tracks=summarise_tracks(answers),
        notes=[] if note is None else [note],
    )


def summarise_tracks(answers: Sequence[Answer]) -> list[Track]:
    """Return what the answers say of each face, by its number."""
    found: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.track is not None:
            found[answer.track].append(answer)
    return [_summarise(number, found[number]) for number in sorted(found)]


class _Look(NamedTuple):
    """A frame that was looked at: its faces, their tracks, and what the model says of each before smoothing, (n, k)."""

    frame: int
    seconds: float
    boxes: list[Box]
    detections: list[float]
    tracks: list[int]
    probabilities: np.ndarray


def _check_settings(rate: float, smoothing: float, max_seconds: float | None) -> None:
    if not 0 < rate < np.inf:
        raise ParameterError(f"Expected a rate above 0 frames a second; got {rate}; 5 is usual.")
    if not 0 <= smoothing < np.inf:
        raise ParameterError(f"Expected smoothing over 0 seconds or more; got {smoothing}; 0 turns it off.")
    if max_seconds is not None and not max_seconds > 0:
        raise ParameterError(f"Expected to read more than 0 seconds; got {max_seconds}; leave it out to read all.")


def _name_source(source: object) -> Path | int | Video:
    if isinstance(source, str | os.PathLike):
        return Path(source)
    if isinstance(source, int | Video):
        return source
    given = type(source).__name__
    raise DataError(f"Expected the path of a video, or the number of a webcam; got {given}; name one.")


def _check_copy(copy: Path, source: Path | int | Video) -> None:
    check_ending(copy)
    if isinstance(source, Path):
        refuse_overwriting(copy, [source])


def _look(
    frames: Generator[Frame], predictor: Predictor, rate: float, tell: Callable[[float], object], *, live: bool
) -> list[_Look]:
    """Return what is in the frames, each looked at when it comes; what is `live` ends with Ctrl-C."""
    looks, tracker = [], Tracker()
    try:
        with closing(frames):
            for frame in sample_frames(frames, rate):
                looks.append(_look_at(frame, predictor, tracker))
                tell(frame.seconds)
    except KeyboardInterrupt:
        if not (live and looks):
            raise
    return looks


def _look_at(frame: Frame, predictor: Predictor, tracker: Tracker) -> _Look:
    faces, crops = predictor.find(frame.image)
    boxes = [(face.x, face.y, face.width, face.height) for face in faces]
    tracks = tracker.update(frame.seconds, boxes, crops, cut=frame.cut)
    detections = [face.confidence for face in faces]
    return _Look(frame.number, frame.seconds, boxes, detections, tracks, predictor.model.probabilities(crops))


def _answer(looks: Sequence[_Look], predictor: Predictor, name: str, smoothing: float) -> list[Answer]:
    """Return the answers, frame by frame, by the smoothed probabilities."""
    tracks = np.array([track for look in looks for track in look.tracks], int)
    seconds = np.array([look.seconds for look in looks for _ in look.tracks])
    probabilities = np.concatenate([look.probabilities for look in looks])
    for track in np.unique(tracks):
        rows = tracks == track
        probabilities[rows] = smooth(seconds[rows], probabilities[rows], smoothing)
    steady = iter(probabilities)
    answers = []
    for look in looks:
        answer = Answer(name, frame=look.frame, seconds=look.seconds, model=predictor.model.title)
        if not look.tracks:
            answers.append(replace(answer, label=NO_FACE, reason="no face was found"))
        for box, detection, track in zip(look.boxes, look.detections, look.tracks, strict=True):
            face = replace(answer, box=box, detection=detection, track=track)
            answers.append(predictor.decide(face, next(steady)))
    return answers


def _summarise(number: int, answers: Sequence[Answer]) -> Track:
    named = Counter(answer.label for answer in answers if answer.label != UNCERTAIN)
    table = np.array([list((answer.probabilities or {}).values()) for answer in answers])
    return Track(
        number=number,
        first=answers[0].seconds or 0.0,
        last=answers[-1].seconds or 0.0,
        looks=len(answers),
        label=named.most_common(1)[0][0] if named else UNCERTAIN,
        probabilities=dict(zip(answers[0].probabilities or {}, table.mean(axis=0).tolist(), strict=True)),
        uncertain=1 - named.total() / len(answers),
    )
