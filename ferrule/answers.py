"""Answers: what is said of each face, and their forms: a table for the terminal, CSV, JSON, JSON lines, Parquet."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferrule.errors import DataError, ParameterError
from ferrule.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

# Labels that are no class.
UNCERTAIN, NO_FACE, UNREADABLE = "uncertain", "no face", "unreadable"

FORMS = ("csv", "json", "jsonl", "parquet")

_DIGITS = 6  # of probabilities that are written
_BAR = 20  # characters

Write = Callable[[Sequence["Answer"]], None]


@dataclass(frozen=True)
class Answer:
    """What is said of one face; or of one photo, row or frame in which there is none.

    `path` is the file ("" for bytes and arrays), `row` the row of a table or array (from 1), `frame` and `seconds`
    the place in a video, in which a face keeps its `track`. `box` is x, y, width and height in pixels of the
    upright photo, `detection` how sure the detector is of it; both are None for a crop. `label` is a class, or
    UNCERTAIN, NO_FACE or UNREADABLE; `confidence` is the probability of the most likely class, and `probabilities`,
    calibrated, has all classes: both are None where there is no face. `reason` says why there is none, or what
    could not be read. `model` is the title of the model that was asked, with its version where it is a registered one.
    """

    path: str = ""
    row: int | None = None
    frame: int | None = None
    seconds: float | None = None
    track: int | None = None
    box: tuple[int, int, int, int] | None = None
    detection: float | None = None
    label: str = NO_FACE
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    reason: str | None = None
    model: str | None = None

    @property
    def best(self) -> str | None:
        """The most likely class, also of an uncertain answer; None where there is no face."""
        return self.ranked[0][0] if self.probabilities else None

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """The classes with their probabilities, the most likely first."""
        return sorted((self.probabilities or {}).items(), key=lambda pair: -pair[1])

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, for JSON: of the place what applies, of the rest all; shares have six digits."""
        place = {"row": self.row, "frame": self.frame, "seconds": _round(self.seconds), "track": self.track}
        return {
            "path": self.path,
            **{name: value for name, value in place.items() if value is not None},
            "box": None if self.box is None else list(self.box),
            "detection": _round(self.detection),
            "label": self.label,
            "confidence": _round(self.confidence),
            "probabilities": self.probabilities and {name: _round(each) for name, each in self.probabilities.items()},
            "reason": self.reason,
            "model": self.model,
        }

    def as_row(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return all fields as a row of a table: `x`, `y`, `width`, `height`, and `probability_<class>`."""
        fields, probabilities = self.as_dict(), self.probabilities or {}
        box = dict(zip(("x", "y", "width", "height"), self.box or [None] * 4, strict=True))
        return (
            {name: fields.get(name) for name in ("path", "row", "frame", "seconds", "track")}
            | box
            | {name: fields[name] for name in ("detection", "label", "confidence")}
            | {f"probability_{name}": _round(probabilities.get(name)) for name in classes}
            | {"reason": self.reason, "model": self.model}
        )


def to_json(answer: Answer) -> str:
    """Return an answer as one line of JSON."""
    return json.dumps(answer.as_dict())


def choose_form(path: Path) -> str:
    """Return the form that the ending of `path` names; raises ParameterError for another."""
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMS:
        raise ParameterError(
            f"Expected a file that ends with .{', .'.join(FORMS)}; got {path.name!r}; rename it, or give --format."
        )
    return form


@contextmanager
def writing_answers(path: Path, form: str, classes: Sequence[str]) -> Iterator[Write]:
    """Give a function that appends answers to `path`, which appears, whole, when the block ends well."""
    with replacing(path) as draft, _WRITERS[form](draft, classes) as write:
        yield write


def tabulate(answers: Iterable[Answer]) -> str:
    """Return a table for a terminal, a line an answer."""
    return "\n".join(
        align(["image", "face", "emotion", "confidence", "", "otherwise"], [_show(answer) for answer in answers])
    )


def percent(probability: float) -> str:
    """Return a probability as "93 %"; no answer is shown as certain."""
    return f"{min(round(100 * probability), 99)} %"


def align(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines in which columns begin at the same place; one that is empty throughout is left out."""
    kept = [at for at in range(len(head)) if any(row[at] for row in rows)]
    widths = {at: max(len(line[at]) for line in (head, *rows)) for at in kept}
    return ["  ".join(line[at].ljust(widths[at]) for at in kept).rstrip() for line in (head, *rows)]


@contextmanager
def _writing_csv(path: Path, classes: Sequence[str]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(Answer().as_row(classes)), lineterminator="\n")
        writer.writeheader()
        yield lambda answers: writer.writerows(answer.as_row(classes) for answer in answers)


@contextmanager
def _writing_lines(path: Path, classes: Sequence[str]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as stream:
        yield lambda answers: stream.writelines(f"{to_json(answer)}\n" for answer in answers)


@contextmanager
def _writing_json(path: Path, classes: Sequence[str]) -> Iterator[Write]:
    """Write one list, an answer a line."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write("[")
        ends = iter(["\n"])  # what stands before an answer: of the first no comma

        def write(answers: Sequence[Answer]) -> None:
            stream.writelines(f"{next(ends, ',' + chr(10))}{to_json(answer)}" for answer in answers)

        yield write
        stream.write("\n]\n")


@contextmanager
def _writing_parquet(path: Path, classes: Sequence[str]) -> Iterator[Write]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(
            "Expected pyarrow, to write Parquet; it is not installed; install pyarrow (`pip install pyarrow`)."
        ) from error
    schema = _describe_columns(classes)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:

        def write(answers: Sequence[Answer]) -> None:
            if answers:
                writer.write_table(pa.Table.from_pylist([answer.as_row(classes) for answer in answers], schema))

        yield write


_WRITERS: dict[str, Callable[[Path, Sequence[str]], AbstractContextManager[Write]]] = {
    "csv": _writing_csv,
    "json": _writing_json,
    "jsonl": _writing_lines,
    "parquet": _writing_parquet,
}


def _describe_columns(classes: Sequence[str]) -> "pa.Schema":
    import pyarrow as pa

    whole, real, text = pa.int64(), pa.float64(), pa.string()
    kinds = dict.fromkeys(("path", "label", "reason", "model"), text)
    kinds |= dict.fromkeys(("row", "frame", "track", "x", "y", "width", "height"), whole)
    return pa.schema([(name, kinds.get(name, real)) for name in Answer().as_row(classes)])


def _show(answer: Answer) -> list[str]:
    """Return the cells of an answer's line."""
    place = " ".join([answer.path or "-", *([f"row {answer.row}"] if answer.row else []), *_when(answer)])
    box = "{2}×{3} at {0},{1}".format(*answer.box) if answer.box else ""
    if not answer.probabilities:
        return [place, box, answer.label, "", "", answer.reason or ""]
    (best, confidence), *others = answer.ranked
    rest = [f"{name} {percent(value)}" for name, value in others[:2] if value >= 0.01]
    if answer.label != best:
        rest = [f"{best} {percent(confidence)}", *rest][:2]
    bar = "█" * round(_BAR * confidence) + "░" * (_BAR - round(_BAR * confidence))
    return [place, box, answer.label, percent(confidence), bar, ", ".join(rest)]


def _when(answer: Answer) -> list[str]:
    return [] if answer.seconds is None else [f"{answer.seconds:.2f} s"]


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), _DIGITS)
