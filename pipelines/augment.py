"""Stage augment: balance the classes of what will be training rows, each generated image with its parent."""

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.balance import Distortions, count_balance, generate_children, inherit_rows, plan_children
from ferrule.charts.children import family_sheet
from ferrule.charts.style import save_figure
from ferrule.errors import DataError, ValidationError
from ferrule.samples import IMAGES_FILE, TABLE_FILE, Samples, load_samples
from ferrule.splits import assign_splits, find_parents
from pipelines.folders import fresh_folder
from pipelines.params import Params, pick


def run(params: Params, root: Path) -> None:
    """Write images.npy and samples.parquet (originals, then children), balance.json, balance.csv and a sheet.

    The split stage comes later, but which rows train can have is settled here by the same function: only those are
    balanced, and only from them is anything generated.
    """
    require_valid(root)
    samples = load_samples(root / "artifacts" / "ingest")
    table = _join_groups(samples.table, pd.read_parquet(root / "artifacts" / "audit" / "groups.parquet"))
    split = assign_splits(table, **asdict(params.split), seed=params.seed)
    train, parents, classes = split == "train", find_parents(table, split), params.ingest.classes
    plan = plan_children(table, train, parents, classes=classes, target=params.augment.target, seed=params.seed)
    table = inherit_rows(table, plan)
    balance = count_balance(table, train, classes)
    with fresh_folder(root / "artifacts" / "augment") as out:
        images = _write_images(out / IMAGES_FILE, samples, plan, pick(Distortions, params.augment), params.seed)
        table.to_parquet(out / TABLE_FILE, index=False)
        balance.to_csv(out / "balance.csv", index=False)
        (out / "balance.json").write_text(json.dumps(balance.to_dict("records"), indent=2) + "\n")
        save_figure(family_sheet(images, table, classes), out / "parents_and_children.png")
    print(
        f"{len(samples):,} images and {len(plan):,} generated from them: "
        f"{balance['after'].min():,} to {balance['after'].max():,} training images a class"
    )


def require_valid(root: Path) -> None:
    """Raise ValidationError where the data did not pass, so that nothing is made of it even by hand."""
    result = root / "artifacts" / "validate" / "result.json"
    if not result.is_file() or not json.loads(result.read_text())["success"]:
        raise ValidationError(
            f"Expected data that passed validation; {result} does not say so; see data_docs/ beside it, mend the data "
            "or the limits in params.yaml, and run the stage validate again."
        )


def _join_groups(table: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Return the samples with what the audit found of each; raises DataError where it saw other samples."""
    if not table["sample_id"].equals(groups["sample_id"]):
        raise DataError(
            f"Expected groups of the {len(table)} ingested samples; got {len(groups)} rows with other ids; "
            "run the audit stage again."
        )
    return table.assign(**{name: groups[name].to_numpy() for name in ("group_id", "group_hash", "blank")})


def _write_images(path: Path, samples: Samples, plan: pd.DataFrame, distortions: Distortions, seed: int) -> np.ndarray:
    """Write the originals, then the children, chunk by chunk; return them memory-mapped."""
    shape = (len(samples) + len(plan), *samples.images.shape[1:])
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    start = 0
    for chunk in chain(samples.chunks(), generate_children(samples.images, plan, distortions, seed=seed)):
        images[start : start + len(chunk)] = chunk
        start += len(chunk)
    images.flush()
    return images
