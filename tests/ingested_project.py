"""A small project as it stands after ingest and audit: with copies across splits, a blank image, unlabelled rows."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml

from ferrule.duplicates import find_copies
from ferrule.quality import measure_quality
from ferrule.samples import Samples, save_samples

CLASSES = ("fear", "happy", "sad")
TWINS = {5: 141, 70: 145, 110: 165}  # training rows, and the PublicTest (two) and PrivateTest rows they are copies of
BLANK = 7
_ROWS = {"Training": (60, 50, 30), "PublicTest": (4, 4, 4), "PrivateTest": (6, 6, 6), "Unlabelled": (2, 2, 2)}


def write_ingested_project(root: Path, samples: Samples | None = None, **sections: dict) -> None:
    """Write params.yaml (with `sections` changed), artifacts/ingest and artifacts/audit/groups.parquet."""
    samples = draw_samples() if samples is None else samples
    params = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text())
    params["ingest"]["classes"] = sorted(samples.table["label"].dropna().unique())
    params["validate"]["min_rows"] = 100
    for section, values in sections.items():
        params[section].update(values)
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    save_samples(samples, root / "artifacts" / "ingest")
    (root / "artifacts" / "validate").mkdir()
    (root / "artifacts" / "validate" / "result.json").write_text('{"success": true}')
    copies = find_copies(samples, measure_quality(samples.images), near_bits=params["audit"]["near_bits"])
    (root / "artifacts" / "audit").mkdir(parents=True, exist_ok=True)
    copies.groups.to_parquet(root / "artifacts" / "audit" / "groups.parquet", index=False)


def draw_samples() -> Samples:
    """Draw 176 images of smooth noise in three classes: 140 Training, 12 PublicTest, 18 PrivateTest, 6 Unlabelled."""
    usages = [usage for usage, counts in _ROWS.items() for _ in range(sum(counts))]
    labels = [
        name for counts in _ROWS.values() for name, count in zip(CLASSES, counts, strict=True) for _ in range(count)
    ]
    random = np.random.default_rng(4).normal(size=(len(usages), 48, 48)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in random])
    images = np.clip(128 + 250 * smooth, 0, 255).astype(np.uint8)
    for copy, original in TWINS.items():
        images[copy] = images[original]
    images[BLANK] = 0
    table = pd.DataFrame(
        {
            "sample_id": np.arange(len(usages)),
            "label": pd.array(
                [None if u == "Unlabelled" else name for name, u in zip(labels, usages, strict=True)], dtype="str"
            ),
            "usage": pd.array(usages, dtype="str"),
            "source_file": pd.array(["fer2013.csv"] * len(usages), dtype="str"),
            "source_row": np.arange(1, len(usages) + 1),
        }
    )
    return Samples(images, table)


def read_real_samples(folder: Path) -> Samples:
    """Decode the real FER-2013 from its parquet file, as ingest would give it."""
    from ferrule.emotions import EMOTIONS

    source = pd.read_parquet(folder / "fer2013.parquet", columns=["emotion", "usage", "png"])
    images = np.stack([cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) for png in source["png"]])
    table = pd.DataFrame(
        {
            "sample_id": np.arange(len(source)),
            "label": pd.array([EMOTIONS[emotion] for emotion in source["emotion"]], dtype="str"),
            "usage": pd.array(source["usage"].astype(str), dtype="str"),
            "source_file": "fer2013.csv",
            "source_row": np.arange(1, len(source) + 1),
        }
    )
    return Samples(images, table)


def read_bytes(folder: Path) -> dict[str, bytes]:
    """Return the content of every file under `folder` by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
