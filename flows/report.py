"""What a person reads at the end of a run, and of `ferrule status`: tables on the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.promotion import Promotion
from flows.status import ALIASES, Status, read_alias, read_summary
from flows.tasks import StageRun

# Relative to the project's root; what exists is printed.
PLACES = {
    "validation": "artifacts/validate/data_docs/index.html",
    "duplicates": "artifacts/audit/",
    "data": "artifacts/explore/",
    "balance": "artifacts/augment/parents_and_children.png",
    "scores": "artifacts/evaluate/",
}


def print_result(root: Path, runs: list[StageRun], promotion: Promotion | None, seconds: float) -> None:
    """Print the run's table, each stage's time, the promotion, and where to look."""
    console = Console(highlight=False)
    table = _table("Result")
    for name, value in read_summary(root).rows():
        table.add_row(name, value)
    for alias in ALIASES:
        table.add_row(alias, _describe(read_alias(root, alias)))
    if promotion:
        table.add_row("promotion", promotion.sentence)
    console.print()
    console.print(table)
    stages = _table("Stages")
    for run in runs:
        stages.add_row(run.stage, f"{run.seconds:7.1f} s" if run.outcome != "unchanged" else "", run.outcome)
    stages.add_row("all", f"{seconds:7.1f} s", "")
    console.print(stages)
    console.print("Look at: " + ", ".join(path for path in PLACES.values() if (root / path).exists()))
    console.print("`ferrule ui` opens the runs in MLflow and Prefect; `ferrule status` tells where things stand.")


def print_status(status: Status) -> None:
    """Print what `ferrule status` knows."""
    console = Console(highlight=False)
    table = _table("Status")
    where = "" if status.data["present"] else " (not in data/: `ferrule run` draws or pulls it)"
    table.add_row("data", f"{status.data['md5'] or 'none'}{where}")
    for name, value in status.summary.rows():
        table.add_row(name, value)
    for alias in ALIASES:
        table.add_row(alias, _describe(status.aliases[alias]))
    console.print(table)
    stages = _table("Stages")
    for stage, state in status.stages.items():
        stages.add_row(stage, state)
    console.print(stages)


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    return table


def _describe(version: dict[str, Any] | None) -> str:
    if version is None:
        return "none"
    score = version["test"].get("accuracy")
    return f"{version['name']} version {version['version']}" + (
        f", test accuracy {100 * score['value']:.1f} %" if score else ""
    )
