"""Stage audit: which images are copies, which copies span splits or disagree on their label, which images are blank."""

import json
from pathlib import Path

import pandas as pd

from ferrule.charts import copies as sheets
from ferrule.charts.style import save_figure
from ferrule.duplicates import Copies, count_twins, find_copies, find_twins, summarise_copies
from ferrule.quality import measure_quality
from ferrule.samples import Samples, load_samples
from pipelines.folders import fresh_folder
from pipelines.params import Params


def run(params: Params, root: Path) -> None:
    """Write groups.parquet, pairs.parquet, audit.json, twins.csv and contact sheets."""
    samples = load_samples(root / "artifacts" / "ingest")
    quality = measure_quality(samples.images)
    copies = find_copies(samples, quality, near_bits=params.audit.near_bits)
    summary = summarise_copies(samples.table, quality, copies.groups)
    with fresh_folder(root / "artifacts" / "audit") as out:
        copies.groups.to_parquet(out / "groups.parquet", index=False)
        copies.pairs.to_parquet(out / "pairs.parquet", index=False)
        (out / "audit.json").write_text(json.dumps(summary, indent=2) + "\n")
        twins = count_twins(find_twins(samples.table, copies.groups), ["label", "usage"])
        twins.to_csv(out / "twins.csv")
        _write_sheets(samples, quality, copies, out)
    print(
        f"{summary['exact_groups']:,} groups of exact copies, {summary['label_conflicts']:,} of them with conflicting "
        f"labels; {summary['near_groups']:,} of near or exact ones; blank images: {summary['blank']:,}"
    )
    print(
        f"held-out images with a copy in Training: {summary['test_twins_exact']:,} exact, "
        f"{summary['test_twins_near']:,} near or exact"
    )


def _write_sheets(samples: Samples, quality: pd.DataFrame, copies: Copies, out: Path) -> None:
    """Draw the contact sheets into `out`."""
    save_figure(sheets.twin_sheet(samples, copies.groups), out / "twins.png")
    save_figure(sheets.near_pair_sheet(samples, copies.pairs), out / "near_pairs.png")
    save_figure(sheets.near_group_sheet(samples, copies.groups), out / "near_groups.png")
    save_figure(sheets.conflict_sheet(samples, copies.groups), out / "conflicts.png")
    save_figure(sheets.blank_sheet(samples, quality), out / "blank.png")
