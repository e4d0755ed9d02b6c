"""The part of `ferrule predict` that is about one video or the webcam: faces are followed through time."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ferrule.answers import align, to_json, writing_answers
from ferrule.commands.telling import clock, tell
from ferrule.documents import say_share
from ferrule.video import VideoResult, analyse_video, write_timeline

if TYPE_CHECKING:
    from ferrule.commands.request import Request
    from ferrule.predictor import Predictor


def predict_video(request: "Request", predictor: "Predictor", source: Path | int) -> None:
    """Answer about a video or webcam: a line a face is shown; what is written has a row a face and look."""
    asked = {"rate": request.rate, "smoothing": request.smoothing, "max_seconds": request.seconds}
    settings: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    with clock() as advance:
        result = analyse_video(source, predictor, annotate=request.annotate, progress=advance, **settings)
    if request.out and request.out_form:
        with writing_answers(request.out, request.out_form, result.classes) as write:
            write(result.answers)
    if request.timeline:
        write_timeline(result, request.timeline)
    if request.as_json:
        click.echo("\n".join(map(to_json, result.answers)))
    elif not request.out:
        click.echo(tabulate_tracks(result))
    faces = f"{len(result.tracks)} face{'s' * (len(result.tracks) != 1)}"
    frames = f"{result.looks:,} frame{'s' * (result.looks != 1)}"
    told = f"{result.name}: {faces} in {result.seconds:.1f} s; looked at {frames}."
    tell(" ".join([told, *result.notes]))


def tabulate_tracks(result: VideoResult) -> str:
    """Return a table for a terminal, a line a face: what was answered, in what share of the looks at it."""
    said: dict[int | None, Counter[str]] = defaultdict(Counter)
    for answer in result.answers:
        said[answer.track][answer.label] += 1
    rows = []
    for track in result.tracks:
        answered = ", ".join(f"{label} {say_share(n / track.looks)}" for label, n in said[track.number].most_common())
        rows.append([str(track.number), f"{track.first:.1f} to {track.last:.1f} s", f"{track.looks:,}", answered])
    return "\n".join(align(["face", "seen", "looks", "answered"], rows)) if rows else "No face was found."
