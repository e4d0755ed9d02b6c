"""The images to measure with: the real FER-2013 where it is, else as many drawn faces."""

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from bench.rows import ROOT
from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError
from ferrule.samples import IMAGE_SIZE, Samples

PARQUET = "fer2013.parquet"
REAL = "FER-2013"
DRAWN = 10  # embedded samples, each of other people, which together are as many images as FER-2013 has


def find_samples(path: Path | None = None) -> tuple[Samples, str]:
    """Return images with `label` and `usage`, and what they are called.

    `path` is a folder with fer2013.parquet, or data in any layout that ingest reads. Without it FERRULE_FER2013 or
    ../shared/data is looked into, and where that has nothing faces are drawn, which takes half a minute on two cores.
    Raises DataError where `path` holds no images.
    """
    folder = path or Path(os.environ.get("FERRULE_FER2013", ROOT.parent / "shared" / "data"))
    if (folder / PARQUET).is_file():
        return read_parquet(folder / PARQUET), REAL
    if path:
        return _read_layout(path), path.name
    return draw_faces(), "drawn faces"


def select_usage(samples: Samples, usage: str) -> Samples:
    """Return the images of a usage of FER-2013; raises DataError where there are none."""
    rows = (samples.table["usage"] == usage).to_numpy()
    if not rows.any():
        raise DataError(f"Expected images of {usage}, as FER-2013 has; there are none; use FER-2013 and run ingest.")
    return samples.select(rows)


def read_parquet(path: Path) -> Samples:
    """Decode a parquet file of `emotion` (0-6), `usage` and `png`."""
    source = pd.read_parquet(path, columns=["emotion", "usage", "png"])
    images = np.empty((len(source), IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for image, png in zip(images, source["png"], strict=True):
        decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert decoded is not None, f"a row of {path} holds no picture"
        image[:] = decoded
    labels = np.array(EMOTIONS)[source["emotion"]]
    return Samples(images, _tabulate(labels, source["usage"].astype(str)))


def draw_faces(times: int = DRAWN) -> Samples:
    """Draw the embedded sample with `times` seeds."""
    from ferrule.synthetic import SEED, draw_sample

    drawn = [draw_sample(SEED + number) for number in range(times)]
    tables = pd.concat([samples.table for samples in drawn])
    return Samples(np.concatenate([samples.images for samples in drawn]), _tabulate(tables["label"], tables["usage"]))


def write_csv(samples: Samples, path: Path) -> None:
    """Write the samples as a fer2013.csv: emotion, pixels, Usage."""
    digits = [str(level) for level in range(256)]
    rows = zip(samples.images, samples.table["label"], samples.table["usage"], strict=True)
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("emotion,pixels,Usage\n")
        for image, label, usage in rows:
            pixels = " ".join([digits[level] for level in image.ravel().tolist()])
            file.write(f"{EMOTIONS.index(label)},{pixels},{usage}\n")


def _read_layout(path: Path) -> Samples:
    from ferrule.layouts import read_samples

    if not path.exists():
        raise DataError(f"Expected images at {path}; there is nothing; give --data a folder or file with some.")
    samples = read_samples(path, EMOTIONS, max_reject_fraction=0.02).samples
    known = samples.table["label"].notna() & samples.table["usage"].notna()
    return samples.select(known.to_numpy())


def _tabulate(labels: object, usages: object) -> pd.DataFrame:
    table = pd.DataFrame({"label": pd.array(labels, dtype="str"), "usage": pd.array(usages, dtype="str")})
    table.insert(0, "sample_id", np.arange(len(table)))
    return table
