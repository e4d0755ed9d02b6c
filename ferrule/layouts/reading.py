"""Read any layout into Samples: in chunks, on all cores, with memory bounded by the images that come out."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ferrule.engine import map_chunks, open_executor
from ferrule.errors import DataError
from ferrule.layouts.csvfiles import CsvFile, parse_row, read_lines
from ferrule.layouts.damage import MANY_REJECTS, DamageError, Reject, check_reject_fraction, tabulate_rejects
from ferrule.layouts.detection import Layout, detect_layout
from ferrule.layouts.listing import name_from
from ferrule.layouts.pictures import Picture, parse_class, quiet_opencv, read_picture
from ferrule.layouts.pixels import PIXELS, decode_pixels
from ferrule.layouts.votes import attach_votes
from ferrule.samples import IMAGE_SIZE, Samples

if TYPE_CHECKING:
    import pandas as pd

_CHUNK_PICTURES = 256


@dataclass(frozen=True)
class Reading:
    """What came of reading: the samples, the rejects (columns file, row, reason, detail), and what else is to be said.

    `left_out` counts the rows of classes that were not asked for; `notes` are remarks for the person who reads.
    """

    samples: Samples
    rejects: "pd.DataFrame"
    left_out: int
    notes: tuple[str, ...] = ()


class Fact(NamedTuple):
    """All that is known of an image but its pixels; `row` is 0 for an image file."""

    file: str
    row: int
    label: str | None
    usage: str | None


class Part(NamedTuple):
    """What was read: images, uint8 (n, 48, 48), and their n facts; the facts of other classes; the rejects."""

    images: np.ndarray
    facts: list[Fact]
    others: list[Fact]
    rejects: list[Reject]

    def count_rows(self) -> int:
        """Return how many rows or files were looked at."""
        return len(self.facts) + len(self.others) + len(self.rejects)


def read_samples(
    path: Path,
    classes: Sequence[str],
    *,
    max_reject_fraction: float,
    workers: int | None = None,
    also: Collection[str] = (),
) -> Reading:
    """Read the images of `classes` from a CSV file, or from a folder of any known layout, in their order there.

    Files come in natural order and CSV rows in theirs; sample ids count the images that were read. Rows of a file
    without labels are kept. What is labelled with one of the words `also`, in lower case, is read under that label,
    even where the word is a number that stands for a class otherwise. Raises DataError where the layout is unknown,
    where nothing could be read, and where more than `max_reject_fraction` of the rows are rejects.
    """
    words = frozenset(also)
    layout = detect_layout(path, words)
    base = path if path.is_dir() else path.parent
    images = np.empty((_count_at_most(layout), IMAGE_SIZE, IMAGE_SIZE), np.uint8)  # what stays unused takes no memory
    parts = _read_parts(layout, base, words.union(classes), words, workers)
    whole = _merge_parts(parts, images, max_reject_fraction)
    _check_yield(whole, path, classes)
    table, notes = _tabulate(whole.facts), []
    if layout.votes:
        table, note = attach_votes(table, _tabulate(whole.others), layout.votes, _count_rows(layout, whole, base))
        notes.append(note)
    return Reading(Samples(whole.images, table), tabulate_rejects(whole.rejects), len(whole.others), tuple(notes))


def parse_block(
    block: tuple[int, list[bytes]],
    *,
    file: CsvFile,
    name: str,
    classes: frozenset[str],
    also: frozenset[str] = frozenset(),
) -> Part:
    """Read a block of `read_lines`, of the file that is called `name`; rows of other classes keep their facts alone."""
    first_row, lines = block
    facts: list[Fact] = []
    others: list[Fact] = []
    rejects: list[Reject] = []
    texts: list[bytes] = []
    for row, line in enumerate(lines, first_row):
        try:
            label, usage, text = parse_row(file, line, also)
        except DamageError as damage:
            rejects.append(Reject(name, row, damage.reason, damage.detail))
            continue
        fact = Fact(name, row, label, usage)
        if label is None or label in classes:
            facts.append(fact)
            texts.append(text)
        else:
            others.append(fact)
    images, damages = decode_pixels(texts)
    if damages:
        rejects += [Reject(name, facts[at].row, damage.reason, damage.detail) for at, damage in damages.items()]
        rejects.sort(key=lambda reject: reject.row)
        good = [at for at in range(len(facts)) if at not in damages]
        images, facts = images[good], [facts[at] for at in good]
    return Part(images, facts, others, rejects)


def _count_at_most(layout: Layout) -> int:
    # A row has PIXELS digits and the spaces between them, or more.
    return len(layout.pictures) + sum(table.path.stat().st_size // (2 * PIXELS - 1) for table in layout.tables)


def _read_parts(
    layout: Layout, base: Path, classes: frozenset[str], also: frozenset[str], workers: int | None
) -> Iterator[Part]:
    with open_executor("thread", workers) as executor:
        for table in layout.tables:
            parse = partial(parse_block, file=table, name=name_from(base, table.path), classes=classes, also=also)
            yield from map_chunks(parse, read_lines(table), executor)
        if layout.pictures:
            starts = range(0, len(layout.pictures), _CHUNK_PICTURES)
            chunks = (layout.pictures[start : start + _CHUNK_PICTURES] for start in starts)
            with quiet_opencv():
                read = partial(_read_pictures, base=base, classes=classes, also=also)
                yield from map_chunks(read, chunks, executor)


def _read_pictures(pictures: Sequence[Picture], *, base: Path, classes: frozenset[str], also: frozenset[str]) -> Part:
    part = Part(np.empty((len(pictures), IMAGE_SIZE, IMAGE_SIZE), np.uint8), [], [], [])
    for picture in pictures:
        fact = Fact(name_from(base, picture.path), 0, parse_class(picture.class_name, also), picture.usage)
        try:
            if fact.label is None:
                raise DamageError("unknown label", f"the folder {picture.class_name!r} names no class")
            if fact.label not in classes:
                part.others.append(fact)
                continue
            part.images[len(part.facts)] = read_picture(picture.path)
            part.facts.append(fact)
        except DamageError as damage:
            part.rejects.append(Reject(fact.file, 0, damage.reason, damage.detail))
    return part._replace(images=part.images[: len(part.facts)])


def _merge_parts(parts: Iterable[Part], images: np.ndarray, max_reject_fraction: float) -> Part:
    """Gather the images of all parts in `images`, and their lists in one; raises DataError for too many rejects."""
    whole = Part(images, [], [], [])
    for part in parts:
        images[len(whole.facts) : len(whole.facts) + len(part.facts)] = part.images
        whole.facts.extend(part.facts)
        whole.others.extend(part.others)
        whole.rejects.extend(part.rejects)
        if len(whole.rejects) > MANY_REJECTS:
            check_reject_fraction(whole.rejects, whole.count_rows(), max_reject_fraction)
    check_reject_fraction(whole.rejects, whole.count_rows(), max_reject_fraction)
    return whole._replace(images=images[: len(whole.facts)])


def _check_yield(whole: Part, path: Path, classes: Sequence[str]) -> None:
    rows = whole.count_rows()
    if not rows:
        raise DataError(f"Expected rows in {path}; there is a header and nothing else; get the data again.")
    if not whole.facts:
        raise DataError(
            f"Expected images of {', '.join(classes)} in {path}; its {rows:,} rows hold none; correct ingest.classes."
        )


def _count_rows(layout: Layout, whole: Part, base: Path) -> dict[str, int]:
    """Return how many data rows each CSV has, in the order in which they were read."""
    counts = Counter([fact.file for fact in (*whole.facts, *whole.others)])
    counts.update(reject.file for reject in whole.rejects)
    return {name: counts[name] for name in (name_from(base, table.path) for table in layout.tables)}


def _tabulate(facts: Sequence[Fact]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(
        {
            "sample_id": np.arange(len(facts), dtype=np.int64),
            "label": pd.array([fact.label for fact in facts], dtype="str"),
            "usage": pd.array([fact.usage for fact in facts], dtype="str"),
            "source_file": pd.array([fact.file for fact in facts], dtype="str"),
            "source_row": np.array([fact.row for fact in facts], dtype=np.int64),
        }
    )
