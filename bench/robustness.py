"""The tables of docs/robustness.md, from what the stage robustness wrote.

python -m bench.robustness --write docs/robustness.md
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from bench.tables import show_tables
from ferrule.documents import say_score, say_share, write_table
from ferrule.errors import WorkflowError
from ferrule.robustness.corruptions import SEVERITIES

HEAD = ("corruption", *(f"severity {severity}" for severity in SEVERITIES), "mean")
SLICES = ("slice", "images", "accuracy", "against the rest", "p (Holm)")


def main() -> int:
    """Print the tables, or write them; return the exit status."""
    return show_tables("robustness", "docs/robustness.md", __doc__, tabulate_project)


def tabulate_project(root: Path) -> str:
    """Return the tables of the project in `root`; raises WorkflowError where the stage has not run."""
    folder = root / "artifacts" / "robustness"
    if not folder.is_dir():
        raise WorkflowError(f"Expected {folder}; it is not there; run the stage (`dvc repro robustness`).")
    summary = json.loads((folder / "robustness.json").read_text())
    corruptions = pd.read_csv(folder / "corruptions.csv")
    lines = [_corruption_line(str(name), rows, summary) for name, rows in corruptions.groupby("corruption", sort=False)]
    slices = [_slice_line(row) for row in summary["worst_slices"]]
    clean, corrupted, relative = (say_score(summary[name]) for name in ("clean", "mean_corrupted", "relative"))
    words = (
        f"{summary['rows']:,} validation images: {clean} right as they are, {corrupted} in the mean of all 40 ways, "
        f"which is {relative} of that."
    )
    told = f"The weakest of {summary['slices']} slices:"
    return "\n\n".join((words, write_table(HEAD, lines), told, write_table(SLICES, slices)))


def _corruption_line(name: str, rows: pd.DataFrame, summary: dict[str, Any]) -> tuple[str, ...]:
    """Return accuracy and amount at each severity, and the mean of all five."""
    cells = [f"{say_share(row.accuracy)} ({row.amount})" for row in rows.itertuples() if row.severity]
    return name, *cells, say_score(summary["by_corruption"][name])


def _slice_line(row: dict[str, Any]) -> tuple[str, ...]:
    accuracy = say_score({"value": row["accuracy"], "low": row["low"], "high": row["high"]})
    name, gap = f"{row['kind']}: {row['slice']}", f"{100 * row['gap']:+.1f} points"
    return name, f"{row['rows']:,}", accuracy, gap, _say_chance(row) if row["beyond_chance"] else "may be chance"


def _say_chance(row: dict[str, Any]) -> str:
    return f"{row['p_value']:.3f}" if row["p_value"] >= 0.001 else "< 0.001"


if __name__ == "__main__":
    sys.exit(main())
