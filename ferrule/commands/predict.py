"""`ferrule predict`: what the model says of photos, crops, folders, tables, arrays, videos and the webcam.

Answers go to standard output or a file; which model gave them, how far it got and what came of it to standard error.
"""

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ferrule.commands.request import SUBMISSION, Request, check_request
from ferrule.commands.telling import (
    count_labels,
    describe_model,
    describe_small,
    describe_undrawn,
    progress_bar,
    tabulate_curve,
    tell,
)
from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError, ParameterError

if TYPE_CHECKING:
    from ferrule.answers import Answer
    from ferrule.predictor import Predictor

_SHOWN = 100  # lines of the table on a terminal
_PATH = click.Path(path_type=Path)


class Share(click.FloatRange):
    """A number within a range; "nan", which no range of click keeps out, is none."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """Return the number; fails for what is none, or out of range."""
        number = super().convert(value, parameter, context)
        if math.isnan(number):
            self.fail(f"{value} is not in the range {self.min}<=x<={self.max}.", parameter, context)
        return float(number)


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    metavar="[PATH]...",
    type=click.Path(exists=True, path_type=Path),
    callback=lambda _context, _parameter, paths: tuple(dict.fromkeys(paths)),
)
@click.option("--crops", is_flag=True, help="Pictures are faces already: no faces are looked for in them.")
@click.option("--webcam", type=click.IntRange(min=0), metavar="N", help="Look at the webcam N (0: the first).")
@click.option(
    "--model",
    "which",
    default="auto",
    show_default=True,
    metavar="MODEL",
    help="auto (the champion where there is one, else the model that ships), pretrained, an alias, a version, or the "
    "folder of an exported model.",
)
@click.option("--name", help="The registered model, where there are several.")
@click.option("--int8", is_flag=True, help="Compute in 8 bits: faster, a little less accurate.")
@click.option(
    "--abstain",
    type=Share(0.5, 0.99),
    metavar="P",
    help="Answer 'uncertain' where that is needed for a share P of the answers to be right (0.50 to 0.99).",
)
@click.option("--curve", is_flag=True, help="Print what share of images is answered at which accuracy.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON a face, in place of the table.")
@click.option("--out", type=_PATH, metavar="FILE", help="Write the answers to a .csv, .json, .jsonl or .parquet file.")
@click.option(
    "--format",
    "form",
    type=click.Choice([SUBMISSION, "csv", "json", "jsonl", "parquet"]),
    help="Of FILE: by default what its ending says, and a submission (the column emotion) where one CSV of pixels is "
    "turned into another.",
)
@click.option("--fill", type=click.Choice(EMOTIONS), help="In a submission: the class of rows that cannot be read.")
@click.option("--annotate", type=_PATH, metavar="OUT", help="Draw boxes and bars: a file for one photo, else a folder.")
@click.option("--explain", type=_PATH, metavar="OUT", help="Draw what speaks for and against each answer.")
@click.option("--threshold", type=Share(0, 1), metavar="P", help="How sure the detector must be that it is a face.")
@click.option("--min-face", type=click.IntRange(min=1), metavar="PIXELS", help="The smallest face to look for.")
@click.option("--rate", type=float, metavar="HZ", help="Of a video: frames a second that are looked at.")
@click.option("--smoothing", type=float, metavar="SECONDS", help="Of a video: probabilities are smoothed over these.")
@click.option("--seconds", type=float, metavar="SECONDS", help="Of a video or webcam: how much of it to look at.")
@click.option("--timeline", type=_PATH, metavar="OUT", help="Of a video: draw what is seen over time, as .svg.")
def predict(**options: Any) -> None:
    """Name the expression of every face in photos, folders, videos, tables of pixels (CSV, Parquet) and .npy arrays.

    Exit 0 where something could be read, 1 where nothing could, 2 on a wrong option or path.
    """
    try:
        carry_out(Request(**options))
    except ParameterError as error:  # the value of an option, wherever it was found to be wrong
        raise click.UsageError(str(error)) from error


def carry_out(request: Request) -> None:
    """Do what was asked for; raises UsageError or ParameterError for wrong options, DataError for what is not read."""
    check_request(request)
    predictor = open_predictor(request)
    tell(describe_model(predictor))
    if request.curve:
        click.echo(tabulate_curve(predictor))
    if request.video is not None:
        from ferrule.commands.watching import predict_video

        predict_video(request, predictor, request.video)
    elif request.out_form == SUBMISSION:
        submit(request, predictor)
    elif request.paths:
        predict_pictures(request, predictor)


def open_predictor(request: Request) -> "Predictor":
    """Return what answers, with the detector that was asked for."""
    from ferrule.faces.detector import MtcnnDetector
    from ferrule.predictor import Predictor

    asked: dict[str, Any] = {"threshold": request.threshold, "min_size": request.min_face}
    return Predictor(
        request.which,
        name=request.name,
        precision="int8" if request.int8 else "float32",
        abstain=request.abstain,
        crops=request.crops,
        detector=MtcnnDetector(**{name: value for name, value in asked.items() if value is not None}),
    )


def predict_pictures(request: Request, predictor: "Predictor") -> None:
    """Answer about everything but a single video; raises DataError where nothing could be read."""
    from ferrule.answers import UNREADABLE, tabulate
    from ferrule.sources import is_picture, list_sources

    files = list(dict.fromkeys(chain.from_iterable(map(list_sources, request.paths))))
    shown: list[Answer] = []
    counts: Counter[str] = Counter()
    drawers = list(_open_drawers(request, predictor))
    if drawers and (others := [file for file in files if not is_picture(file)]):
        tell(describe_undrawn(others))
    if not request.crops and (told := describe_small([file for file in files if is_picture(file)])):
        tell(told)
    with _opened_output(request, predictor) as show, _progress(request, files) as advance:
        found = predictor.iterate(files, progress=advance)
        for (path, _, _), group in groupby(found, key=lambda answer: (answer.path, answer.row, answer.frame)):
            answers = list(group)
            show(answers)
            shown += answers[: _SHOWN - len(shown)]
            counts.update(answer.label for answer in answers)
            if is_picture(Path(path)) and answers[0].label != UNREADABLE and Path(path).is_file():
                for draw in drawers:
                    draw(Path(path), answers)
        if counts.total() == counts[UNREADABLE]:
            raise DataError(_explain_nothing(shown, counts))
    told = count_labels(counts, predictor.model.classes)
    if not (request.as_json or request.out):
        click.echo(tabulate(shown))
        told += f" The first {_SHOWN} are shown; --json or --out FILE gives all." * (counts.total() > _SHOWN)
    tell(told)


def submit(request: Request, predictor: "Predictor") -> None:
    """Write a submission."""
    from ferrule.submission import write_submission

    assert request.out is not None, "check_request sees to it"
    with _progress(request, request.paths) as advance:
        written = write_submission(request.paths[0], request.out, predictor.model, fill=request.fill, progress=advance)
    tell(f"{count_labels(written.counts, EMOTIONS)} Rows that show no face: {written.faceless:,}.")
    tell(f"{request.out} is a submission, with the column emotion alone; --format csv gives the whole table.")


@contextmanager
def _opened_output(request: Request, predictor: "Predictor") -> "Iterator[Callable[[Sequence[Answer]], None]]":
    """Give a function that takes answers to where they belong, as they come."""
    from ferrule.answers import to_json, writing_answers

    with ExitStack() as stack:
        write = None
        if request.out and request.out_form:
            write = stack.enter_context(writing_answers(request.out, request.out_form, predictor.model.classes))

        def show(answers: "Sequence[Answer]") -> None:
            if write:
                write(answers)
            if request.as_json:
                click.echo("\n".join(map(to_json, answers)))

        yield show


def _progress(request: Request, paths: Sequence[Path]) -> "AbstractContextManager[Callable[[int], object] | None]":
    """Return the bar; there is none where answers are written to the same terminal as they come."""
    from ferrule.sources import count_items

    if request.as_json and sys.stdout.isatty():
        return nullcontext()
    return progress_bar(lambda: sum(map(count_items, paths)))


def _open_drawers(request: Request, predictor: "Predictor") -> "Iterator[Callable[[Path, Sequence[Answer]], None]]":
    """Yield a function for each kind of picture that was asked for, which draws the one about a file."""
    from ferrule.pictures import Places, draw_annotated, draw_explained, save_picture

    if request.annotate:
        boxes = Places(request.annotate, request.paths)
        yield lambda path, answers: save_picture(boxes.place(path), draw_annotated(path, answers, crops=request.crops))
    if request.explain:
        maps = Places(request.explain, request.paths)

        def explain(path: Path, answers: "Sequence[Answer]") -> None:
            if any(answer.probabilities for answer in answers):
                save_picture(maps.place(path), draw_explained(path, answers, predictor))

        yield explain


def _explain_nothing(shown: "Sequence[Answer]", counts: Counter[str]) -> str:
    if not shown:
        return "Expected pictures or rows of pixels; there are none in what was named; name others."
    first = shown[0]
    return (
        f"Expected at least one picture that can be read; got none of {counts.total():,} (the first: {first.path}, "
        f"{first.reason}); name others."
    )
