"""What is asked for on the command line of `ferrule predict`, and whether it goes together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

SUBMISSION = "submission"


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    paths: tuple[Path, ...]
    crops: bool
    webcam: int | None
    which: str
    name: str | None
    int8: bool
    abstain: float | None
    curve: bool
    as_json: bool
    out: Path | None
    form: str | None
    fill: str | None
    annotate: Path | None
    explain: Path | None
    threshold: float | None
    min_face: int | None
    rate: float | None
    smoothing: float | None
    seconds: float | None
    timeline: Path | None

    @property
    def video(self) -> Path | int | None:
        """The one video, or the webcam."""
        from ferrule.sources import is_video

        alone = self.paths[0] if len(self.paths) == 1 else None
        return self.webcam if self.webcam is not None else alone if alone and is_video(alone) else None

    @property
    def is_table(self) -> bool:
        """Whether what is asked about is one table of pixels."""
        from ferrule.sources import TABLES

        return [path.suffix.lower() in TABLES for path in self.paths] == [True]

    @property
    def is_drawable(self) -> bool:
        """Whether there are, or may be, pictures to draw into."""
        from ferrule.sources import is_picture

        return any(path.is_dir() or is_picture(path) for path in self.paths)

    @property
    def out_form(self) -> str | None:
        """The form of the file of answers, if there is one: of one CSV to another a submission, unless told otherwise.

        Raises ParameterError where the ending of the file names no form.
        """
        if self.form is not None or self.out is None:
            return self.form
        from ferrule.answers import choose_form

        form = choose_form(self.out)
        return SUBMISSION if self.is_table and form == "csv" and self.paths[0].suffix.lower() == ".csv" else form


def check_request(request: Request) -> None:
    """Raise UsageError for options that do not go together, ParameterError for an output that cannot be what it is."""
    from ferrule.commands.outputs import check_outputs

    for sentence, wrong in _list_faults(request):
        if wrong:
            raise click.UsageError(sentence)
    check_outputs(request)


def _list_faults(request: Request) -> Iterator[tuple[str, bool]]:
    """Yield what may be wrong with a request, and whether it is."""
    submission, watched = request.out_form == SUBMISSION, request.video is not None
    yield "Expected a PATH, --webcam or --curve; got none; give one.", not (request.paths or watched or request.curve)
    both = bool(request.paths) and request.webcam is not None
    yield "Expected PATHs or --webcam; got both; ask about one after the other.", both
    timed = any(each is not None for each in (request.rate, request.smoothing, request.seconds, request.timeline))
    told = "Expected --rate, --smoothing, --seconds and --timeline with one video, or a webcam, alone; leave them out."
    yield told, timed and not watched
    told = "Expected --timeline with a file that ends with .svg; rename it."
    yield told, request.timeline is not None and request.timeline.suffix.lower() != ".svg"
    yield (
        "Expected --explain with pictures; a video has none to explain; leave it out.",
        watched and bool(request.explain),
    )
    told = "Expected --crops with pictures; in a video faces are always looked for; leave it out."
    yield told, watched and request.crops
    yield "Expected --out FILE with --format; there is none; name it.", bool(request.form) and request.out is None
    yield "Expected --fill with a submission, which this is not; leave it out.", bool(request.fill) and not submission
    more = bool(request.abstain or request.as_json or request.annotate or request.explain)
    told = "Expected nothing but class numbers in a submission; leave --abstain, --json, --annotate and --explain out."
    yield told, submission and more
    yield (
        "Expected one CSV or Parquet file of pixels to make a submission of; name it.",
        submission and not request.is_table,
    )
    told = "Expected --annotate and --explain with pictures; there are none (of videos, one alone can be annotated); "
    yield f"{told}leave them out.", bool(request.annotate or request.explain) and not (request.is_drawable or watched)
