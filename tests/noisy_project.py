"""A project after split, some of whose training labels are wrong: three classes, told apart by where a band lies."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from ferrule.emotions import FERPLUS_VOTES
from ferrule.samples import Samples, save_samples

CLASSES = ("angry", "happy", "neutral")
NOISE = {"folds": 2, "epochs": 4, "epoch_images": 1000, "batch_size": 16, "size": 24, "suspects": 40}
VOTED_AS = {"angry": "anger", "happy": "happiness", "neutral": "neutral"}
_PLAN = {"train": 240, "val": 30, "test": 12}  # originals
_WRONG = 18  # of train
_COPIES = 40  # of train's rows are copies of others: pairs, one of which may be labelled wrong
_CHILDREN = 50


@dataclass(frozen=True)
class Truth:
    """What the labels ought to be, by `sample_id`, and the ids of those that are wrong."""

    labels: pd.Series
    wrong: frozenset[int]


def write_noisy_project(root: Path, *, votes: bool = True, noise: dict | None = None) -> Truth:
    """Write params.yaml, artifacts/augment and artifacts/split; the first rows are the originals, children follow."""
    params = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text())
    params["ingest"]["classes"] = list(CLASSES)
    params["noise"] |= NOISE | (noise or {})
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    samples, split, truth = _draw(votes)
    save_samples(samples, root / "artifacts" / "augment")
    (root / "artifacts" / "split").mkdir(parents=True)
    split.to_parquet(root / "artifacts" / "split" / "split.parquet", index=False)
    return truth


def _draw(votes: bool) -> tuple[Samples, pd.DataFrame, Truth]:
    rng = np.random.default_rng(5)
    parts = np.repeat(list(_PLAN), list(_PLAN.values()))
    real = np.arange(len(parts)) % len(CLASSES)
    images = rng.integers(0, 120, (len(parts), 48, 48), dtype=np.uint8)
    for image, number in zip(images, real, strict=True):
        image[16 * number : 16 * number + 16] += 60
    groups = np.arange(len(parts))
    for copy in range(_COPIES):  # rows 100 and on are copies of the first rows, of the same class
        original, row = copy, 102 + copy
        images[row], groups[row] = images[original], original
    labels = real.copy()
    wrong = np.sort(rng.choice(_PLAN["train"], _WRONG, replace=False))
    labels[wrong] = (labels[wrong] + rng.integers(1, 3, _WRONG)) % len(CLASSES)
    table = pd.DataFrame(
        {
            "sample_id": 1000 + np.arange(len(parts)),
            "label": np.array(CLASSES)[labels],
            "usage": "Training",
            "source_file": "fer2013.csv",
            "source_row": np.arange(1, len(parts) + 1),
            "group_id": 1000 + groups,
            "parent_id": 1000 + np.arange(len(parts)),
        }
    )
    for name in FERPLUS_VOTES if votes else ():
        table[f"votes_{name}"] = np.uint8(10) * np.array([VOTED_AS[CLASSES[number]] == name for number in real])
    parents = np.arange(_CHILDREN) * 4
    children = table.iloc[parents].assign(sample_id=1000 + len(parts) + np.arange(_CHILDREN))
    samples = Samples(
        np.concatenate([images, images[parents, :, ::-1]]), pd.concat([table, children], ignore_index=True)
    )
    split = samples.table[["sample_id", "parent_id", "group_id", "label", "usage"]].assign(
        split=np.concatenate([parts, np.full(_CHILDREN, "train")])
    )
    told = pd.Series(np.array(CLASSES)[real], index=table["sample_id"])
    return samples, split, Truth(told, frozenset((1000 + wrong).tolist()))
