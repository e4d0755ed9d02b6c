"""The part of `ferrule predict` that is about one video or the webcam: faces are followed through time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ferrule.answers import align, to_json, writing_answers
from ferrule.commands.telling import clock, percent, tell
from ferrule.video import VideoResult, analyse_video, write_timeline

if TYPE_CHECKING:
    from ferrule.commands.predict import Request
    from ferrule.predictor import Predictor

_NAMED = 3  # classes of a face, on average


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
    told = f"{result.name}: {faces} in {result.seconds:.1f} s, looked at {result.looks:,} times."
    tell(" ".join([told, *result.notes]))


def tabulate_tracks(result: VideoResult) -> str:
    """Return a table for a terminal, a line a face."""
    rows = []
    for track in result.tracks:
        ranked = sorted(track.probabilities.items(), key=lambda pair: -pair[1])[:_NAMED]
        average = ", ".join(f"{name} {percent(value)}" for name, value in ranked)
        seen = f"{track.first:.1f} to {track.last:.1f} s"
        rows.append(
            [str(track.number), seen, track.label, percent(track.uncertain) if track.uncertain else "", average]
        )
    return (
        "\n".join(align(["face", "seen", "mostly", "uncertain", "on average"], rows)) if rows else "No face was found."
    )
