"""The sample itself: 3,513 portraits in the proportions of FER-2013, and the file that carries them."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.emotions import EMOTIONS
from ferrule.engine import worker_count
from ferrule.files import replacing
from ferrule.samples import Samples
from ferrule.synthetic.faults import MALFORMED, plan_faults, plant_faults
from ferrule.synthetic.portrait import paint_portraits
from ferrule.synthetic.stream import Stream

SEED = 2013

# Images by split and class, in the order of EMOTIONS: a tenth of FER-2013, but for disgust, of which that is too few.
COUNTS: Mapping[str, tuple[int, ...]] = {
    "Training": (388, 60, 398, 700, 470, 308, 482),
    "PublicTest": (45, 14, 48, 86, 62, 40, 58),
    "PrivateTest": (48, 14, 51, 84, 57, 40, 60),
}

_ORDER, _PLAN, _PORTRAITS, _COPIES = range(4)  # what each random stream is for
_CHUNK = 32  # images drawn at once, by one stream: enough to fill the processor's cache

_DIGITS = [str(level) for level in range(256)]
_BEFORE, _AFTER = 1000, 1303  # pixels of a malformed row before and after what is wrong with it


def draw_sample(seed: int = SEED) -> Samples:
    """Draw the sample: the same bytes for the same seed, whatever the machine and the number of workers.

    The table has `sample_id`, `label` and `usage`, and tells what cannot be seen in the file: the `expression` that was
    drawn, the `fault` planted ("", blank, faint, wrong label, exact copy, near copy or conflict) and `copy_of`, the
    `sample_id` of the original (its own where the image is no copy).
    """
    table = plan_faults(_list_rows(seed), seed, _PLAN)
    expressions = np.array([EMOTIONS.index(name) for name in table["expression"]])
    chunks = np.split(expressions, range(_CHUNK, len(expressions), _CHUNK))
    with ThreadPoolExecutor(worker_count()) as executor:
        jobs = [executor.submit(paint_portraits, chunk, seed, _PORTRAITS, k) for k, chunk in enumerate(chunks)]
        images = np.concatenate([job.result() for job in jobs])
    return plant_faults(Samples(images, table), seed, _COPIES)


def write_sample(path: Path, seed: int = SEED) -> Samples:
    """Draw the sample, write it as a fer2013.csv with the rows of MALFORMED among its own, and return it.

    The columns are emotion, pixels and Usage, lines end in LF. The file appears whole or not at all.
    """
    samples = draw_sample(seed)
    with replacing(path) as draft, draft.open("w", encoding="ascii", newline="\n") as file:
        file.write("emotion,pixels,Usage\n")
        file.writelines(f"{line}\n" for line in _format_rows(samples))
    return samples


def _list_rows(seed: int) -> pd.DataFrame:
    """Return a row an image, split after split as in FER-2013, the classes mixed within each."""
    labels, usages = [], []
    for number, (usage, counts) in enumerate(COUNTS.items()):
        names = [name for name, count in zip(EMOTIONS, counts, strict=True) for _ in range(count)]
        labels += [names[position] for position in Stream(len(names), seed, _ORDER, number).shuffle()]
        usages += [usage] * len(names)
    return pd.DataFrame(
        {
            "sample_id": np.arange(len(labels)),
            "label": pd.array(labels, dtype="str"),
            "usage": pd.array(usages, dtype="str"),
        }
    )


def _format_rows(samples: Samples) -> Iterator[str]:
    """Yield the lines of the file, the malformed ones evenly among the others."""
    every = len(samples) // (len(MALFORMED) + 1)
    malformed = iter(MALFORMED)
    rows = zip(samples.images, samples.table["label"], samples.table["usage"], strict=True)
    for number, (image, name, usage) in enumerate(rows, 1):
        label, pixels = EMOTIONS.index(name), [_DIGITS[level] for level in image.ravel().tolist()]
        yield f"{label},{' '.join(pixels)},{usage}"
        if number % every == 0 and (fault := next(malformed, None)):
            before, after = " ".join(pixels[:_BEFORE]), " ".join(pixels[-_AFTER:])
            yield fault[1].format(label=label, before=before, after=after, usage=usage)
