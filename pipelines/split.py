"""Stage split: say of every image, generated ones included, which split it is in, and guard the lineage."""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from ferrule.samples import TABLE_FILE
from ferrule.splits import SPLITS, assign_splits, check_lineage, choose_strategy, summarize_splits
from pipelines.folders import fresh_folder
from pipelines.params import Params

COLUMNS = ["sample_id", "parent_id", "group_id", "label", "usage", "split"]


def run(params: Params, root: Path) -> None:
    """Write split.parquet, row by row with augment's images, and split.json; raises LineageError before writing."""
    table = pd.read_parquet(root / "artifacts" / "augment" / TABLE_FILE)
    originals = table[table["sample_id"] == table["parent_id"]]
    split = assign_splits(originals, **asdict(params.split), seed=params.seed)
    table["split"] = table["parent_id"].map(dict(zip(originals["sample_id"], split, strict=True)))
    check_lineage(table, twins=params.split.twins)
    strategy = choose_strategy(originals, params.split.strategy)
    summary = {"strategy": strategy, "twins": params.split.twins, **summarize_splits(table)}
    with fresh_folder(root / "artifacts" / "split") as out:
        table[COLUMNS].to_parquet(out / "split.parquet", index=False)
        (out / "split.json").write_text(json.dumps(summary, indent=2) + "\n")
    counts = table["split"].value_counts()
    print(f"{strategy}: " + ", ".join(f"{counts.get(name, 0):,} {name}" for name in (*SPLITS, "dropped")))
