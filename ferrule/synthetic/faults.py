"""What is wrong with the sample on purpose, so that every guard of the workflow has something to catch."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from ferrule.emotions import EMOTIONS
from ferrule.samples import Samples
from ferrule.synthetic.stream import Stream

# How many images of a split are one grey level, nearly one, or show another expression than their label says.
BLANK = {"Training": 4, "PublicTest": 1, "PrivateTest": 1}
FAINT = {"Training": 4, "PublicTest": 1, "PrivateTest": 1}
WRONG_LABEL = {"Training": 84, "PublicTest": 9, "PrivateTest": 9}

# How many images of the second split are copies of one in the first.
EXACT_COPY = {
    ("Training", "Training"): 40,
    ("Training", "PublicTest"): 12,
    ("Training", "PrivateTest"): 14,
    ("PublicTest", "PrivateTest"): 4,
}
NEAR_COPY = {
    ("Training", "Training"): 45,
    ("Training", "PublicTest"): 15,
    ("Training", "PrivateTest"): 15,
    ("PublicTest", "PrivateTest"): 3,
}
CONFLICT = {  # an exact copy under another label
    ("Training", "Training"): 9,
    ("Training", "PublicTest"): 2,
    ("Training", "PrivateTest"): 3,
}

# Rows that cannot be read, made from the row before them, and the reason that ingest should give. 1,000 pixels stand
# in `before`, 1,303 in `after`: with one between them the image is whole.
MALFORMED = (
    ("not a number", "{label},{before} abc {after},{usage}"),
    ("not a number", "{label},{before} 97.5 {after},{usage}"),
    ("not a number", "{label},{before} nan {after},{usage}"),
    ("out of range", "{label},{before} 256 {after},{usage}"),
    ("out of range", "{label},{before} -1 {after},{usage}"),
    ("wrong pixel count", "{label},{before} {after},{usage}"),
    ("wrong pixel count", "{label},{before} 128 128 {after},{usage}"),
    ("null label", ",{before} 128 {after},{usage}"),
    ("unknown label", "7,{before} 128 {after},{usage}"),
    ("unknown label", "contempt,{before} 128 {after},{usage}"),
    ("null pixels", "{label},,{usage}"),
    ("null pixels", "{label},nan,{usage}"),
    ("unknown usage", "{label},{before} 128 {after},Validation"),
    ("repeated header", "emotion,pixels,Usage"),
    ("wrong number of columns", "{label},{before}"),
)

_SPARED = "disgust"  # the rarest class has no rows to lose


def plan_faults(table: pd.DataFrame, *seed: int) -> pd.DataFrame:
    """Return `table` with three more columns: `expression`, the one to draw; `fault`, mostly ""; and `copy_of`.

    `table` has a row an image: `sample_id`, its position, `label` and `usage`. `copy_of` is the `sample_id` of the
    original, or the image's own. No image has two faults, and no faulty image is copied.
    """
    stream = Stream(len(table), *seed)
    labels, usages = table["label"].tolist(), table["usage"].tolist()
    free = [row for row in stream.shuffle().tolist() if labels[row] != _SPARED]
    expressions, faults, originals = list(labels), [""] * len(table), list(range(len(table)))
    others = stream.below(len(EMOTIONS) - 1)
    for fault, counts in (("blank", BLANK), ("faint", FAINT), ("wrong label", WRONG_LABEL)):
        for row in _take(free, usages, counts):
            faults[row] = fault
    for row in (row for row, fault in enumerate(faults) if fault == "wrong label"):
        expressions[row] = EMOTIONS[(EMOTIONS.index(labels[row]) + 1 + others[row]) % len(EMOTIONS)]
    for fault, pairs in (("exact copy", EXACT_COPY), ("near copy", NEAR_COPY), ("conflict", CONFLICT)):
        for row, original in _pair(free, usages, labels, pairs, alike=fault != "conflict"):
            faults[row], originals[row] = fault, original
    return table.assign(expression=expressions, fault=faults, copy_of=originals)


def plant_faults(samples: Samples, *seed: int) -> Samples:
    """Return freshly drawn `samples` with the images blank, faint or copied that `plan_faults` wants so."""
    fault = samples.table["fault"].to_numpy()
    images = samples.images[samples.table["copy_of"].to_numpy()]
    blank, faint, near = (np.flatnonzero(fault == name) for name in ("blank", "faint", "near copy"))
    # Each blank image has a level of its own, or they would be copies of each other.
    images[blank] = (np.arange(len(blank)) * 255 // len(blank)).astype(np.uint8)[:, None, None]
    images[faint] = 120 + images[faint] // 32
    images[near] = _vary(images[near], Stream(len(near), *seed))
    return Samples(images, samples.table)


def _take(free: list[int], usages: list[str], counts: Mapping[str, int]) -> list[int]:
    """Take as many rows of each split as `counts` says out of `free`, the first ones there."""
    taken: list[int] = []
    for usage, count in counts.items():
        taken += [row for row in free if usages[row] == usage][:count]
    free[:] = [row for row in free if row not in taken]
    return taken


def _pair(
    free: list[int], usages: list[str], labels: list[str], pairs: Mapping[tuple[str, str], int], *, alike: bool
) -> Iterator[tuple[int, int]]:
    """Take pairs of a copy and its original out of `free`, whose labels are `alike` or not."""
    for (source, target), count in pairs.items():
        for copy in _take(free, usages, {target: count}):
            suitable = (row for row in free if usages[row] == source and (labels[row] == labels[copy]) == alike)
            original = next(suitable)
            free.remove(original)
            yield copy, original


def _vary(images: np.ndarray, stream: Stream) -> np.ndarray:
    """Return images a little changed: in turn moved down by half a pixel, brighter or darker, and with fresh noise."""
    levels = images.astype(np.int64)
    moved = (levels + np.concatenate([levels[:, :1], levels[:, :-1]], axis=1)) // 2
    brighter = levels + (8 + stream.below(10)).reshape(-1, 1, 1) * (1 - 2 * (np.arange(len(images)) % 2))[:, None, None]
    noisy = levels + np.floor(2.0 * stream.noise() + 0.5).astype(np.int64)
    varied = np.choose((np.arange(len(images)) % 3)[:, None, None], (moved, brighter, noisy))
    return np.clip(varied, 0, 255).astype(np.uint8)
