"""A submission to the ICML 2013 challenge: one column, `emotion`, with a class number for each row of the test file."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError
from ferrule.faces.crops import judge_crops
from ferrule.files import replacing
from ferrule.layouts.damage import Reject
from ferrule.layouts.streaming import stream_images
from ferrule.sources import refuse_overwriting

if TYPE_CHECKING:
    from ferrule.portable.model import PortableModel

_CHUNK = 256  # rows


class Written(NamedTuple):
    """How often each class was written, and how many of these rows show no face at all."""

    counts: Counter[str]
    faceless: int


def write_submission(
    source: Path,
    out: Path,
    model: "PortableModel",
    *,
    fill: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> Written:
    """Write the most likely class of each row of a table of pixels, in order, as its number in fer2013.csv.

    Every row gets a number, as it must, however unsure the model is and whether or not a face is there. `fill` is the
    class for rows that cannot be read; without it the first such row raises DataError and nothing is written. Raises
    ParameterError where `out` is what is read.
    """
    refuse_overwriting(out, [source])
    counts: Counter[str] = Counter()
    faceless = 0
    with replacing(out) as draft, draft.open("w", encoding="ascii") as stream:
        stream.write("emotion\n")
        for chunk in stream_images(source, _CHUNK):
            best = model.probabilities(chunk.images).argmax(axis=1)
            labels = dict(zip(chunk.rows, np.array(model.classes)[best].tolist(), strict=True))
            labels |= {reject.row: fill or _refuse(source, reject) for reject in chunk.rejects}
            stream.writelines(f"{EMOTIONS.index(labels[row])}\n" for row in sorted(labels))
            counts.update(labels.values())
            faceless += sum(fault is not None for fault in judge_crops(chunk.images))
            if progress:
                progress(len(labels))
        if not counts:
            raise DataError(f"Expected rows of pixels in {source.name}; it has none; get it again.")
    return Written(counts, faceless)


def _refuse(source: Path, reject: Reject) -> str:
    raise DataError(
        f"Expected pixels in every row of {source.name}, since a submission needs a number for each; row {reject.row} "
        f"cannot be read ({reject.reason}: {reject.detail}); correct it, or say what to put there, as --fill neutral."
    )
