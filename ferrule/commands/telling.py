"""What is said of a model and of many answers: sentences on standard error, so that standard output stays clean."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ferrule.documents import say_share

if TYPE_CHECKING:
    from ferrule.predictor import Predictor

_REDRAWS = 200  # of a bar
_SMALL_SIDE, _SMALL_BYTES = 64, 1 << 15  # pixels and bytes: 64×64 pixels take 16 kB even unpacked
_TARGETS = (0.8, 0.9)  # accuracies whose coverage is told with the curve


def tell(text: str) -> None:
    """Write to standard error."""
    click.echo(text, err=True)


def describe_model(predictor: "Predictor") -> str:
    """Say which model answers, how good it is, and when it says nothing."""
    model, rule = predictor.model, predictor.rule
    score = model.facts.scores["test"]["accuracy"]
    interval = f"95 % interval {100 * score['low']:.1f} to {100 * score['high']:.1f}"
    told = f"Model: {model.title}; test accuracy {_share(score['value'])} ({interval})."
    if rule is None:
        return told
    if rule.threshold is None:
        return f"{told}\nNo confidence is high enough to be right in {_share(rule.target)}: every answer is uncertain."
    return (
        f"{told}\nUncertain below a confidence of {_share(rule.threshold)}: of its validation images it answers "
        f"{_share(rule.coverage)}, {_share(rule.accuracy)} of them rightly (at least {_share(rule.lower)})."
    )


def tabulate_curve(predictor: "Predictor") -> str:
    """Return the risk-coverage curve on validation images, and what is answered at 80 % and 90 % accuracy."""
    curve, lines = predictor.model.facts.curve, ["answered  right   wrong   confidence at least"]
    for coverage in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1):
        point = min(curve, key=lambda point: abs(point["coverage"] - coverage))
        shares = (point["coverage"], point["accuracy"], 1 - point["accuracy"], point["threshold"])
        lines.append("{:<8}  {:<6}  {:<6}  {}".format(*map(_share, shares)))
    for target in _TARGETS:
        plain = max((point["coverage"] for point in curve if point["accuracy"] >= target), default=0.0)
        rule = predictor.model.abstention(target)
        lines.append(f"Coverage at {_share(target)} accuracy: {_share(plain)}.")
        lines.append(f"  With 95 % certainty for new images: {_share(rule.coverage)}, as --abstain {target} answers.")
    return "\n".join(lines)


def count_labels(counts: Mapping[str, int], classes: Sequence[str]) -> str:
    """Return how often each label was given, the classes in their order, as a sentence."""
    total = sum(counts.values())
    told = ", ".join(f"{counts[label]:,} {label}" for label in dict.fromkeys((*classes, *counts)) if counts.get(label))
    return f"{total:,} answer{'s' * (total != 1)}: {told}."


def describe_undrawn(files: Sequence[Path]) -> str:
    """Say that nothing is drawn into these, which are no pictures."""
    more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    return f"Nothing is drawn into videos, tables and arrays among pictures: {files[0]}{more}; a video alone can be."


def describe_small(pictures: Sequence[Path]) -> str | None:
    """Say so where most of these files are as small as faces that were cut out already; None where they are not."""
    sizes = Counter(size for size in map(_measure, pictures) if size and max(size) <= _SMALL_SIDE)
    if 2 * sizes.total() <= len(pictures):
        return None
    [((width, height), _)] = sizes.most_common(1)
    return f"Most of these pictures are as small as {width}×{height}: if they are faces already, use --crops."


@contextmanager
def progress_bar(count: Callable[[], int]) -> Iterator[Callable[[int], object] | None]:
    """Give what advances a bar on the terminal; None where standard error is none, and then nothing is counted."""
    if not sys.stderr.isatty():
        yield None
        return
    length = count()
    steps = max(1, length // _REDRAWS)
    with click.progressbar(length=length, file=sys.stderr, show_pos=True, update_min_steps=steps) as bar:
        yield bar.update


@contextmanager
def clock() -> Iterator[Callable[[float, float | None], object] | None]:
    """Give what tells on the terminal how many seconds of a video are done; None where standard error is none."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(seconds: float, total: float | None) -> None:
        click.echo(f"\r{seconds:7.1f} s" + (f" of {total:.1f} s" if total else ""), nl=False, err=True)

    yield show
    tell("")


def _share(share: float | None) -> str:
    return say_share(share or 0.0)


def _measure(picture: Path) -> tuple[int, int] | None:
    """Return width and height as a file states them; None for a large file, and for one that cannot be read."""
    from ferrule.layouts.dimensions import read_size

    try:
        return read_size(picture.read_bytes()) if picture.stat().st_size <= _SMALL_BYTES else None
    except OSError:
        return None
