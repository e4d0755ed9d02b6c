"""What a person reads at the end of a run, and of `ferrule status`: tables on the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from flows.promotion import Promotion
from flows.status import ALIASES, Status, read_alias, read_summary
from flows.tasks import StageRun

if TYPE_CHECKING:
    from flows.monitoring import Look
    from flows.scoring import InputRun

# Relative to the project's root; what exists is printed.
PLACES = {
    "report": "artifacts/report/index.html",
    "validation": "artifacts/validate/data_docs/index.html",
    "duplicates": "artifacts/audit/",
    "data": "artifacts/explore/",
    "balance": "artifacts/augment/parents_and_children.png",
    "scores": "artifacts/evaluate/",
}

_SHOWN_INPUTS = 50  # of a scoring


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


def print_scoring(runs: "list[InputRun]") -> None:
    """Print what became of each input that is new, their sum, and where the predictions are."""
    console = Console(highlight=False)
    if not runs:
        console.print("Nothing to score: put images into scoring/inbox/, or name a file or folder (docs/scoring.md).")
        return
    table = Table(title="Scoring", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("input", "outcome", "images", "answered", "abstained", "rejects"):
        table.add_column(name, justify="left" if name in ("input", "outcome") else "right", no_wrap=name != "input")
    new, scored = [run for run in runs if run.outcome != "known"], [run for run in runs if run.outcome == "scored"]
    for run in new[:_SHOWN_INPUTS]:
        table.add_row(run.source, run.outcome, *_count([run] if run in scored else []))
    table.add_row(f"{len(runs):,} inputs", f"{len(runs) - len(new):,} known before", *_count(scored), style="bold")
    console.print()
    console.print(table)
    for run in new:
        if run.reason:
            console.print(f"{run.source} ({run.outcome}): {run.reason}", markup=False)
    if scored:
        console.print("Predictions: scoring/predictions/, what could not be read: scoring/rejects/ (docs/scoring.md).")


def _count(runs: "list[InputRun]") -> list[str]:
    """Return images, answered, abstained and rejects of scored inputs, or blanks where there are none."""
    told = [run.told for run in runs if run.told]
    if not told:
        return [""] * 4
    images, answered = sum(each.images for each in told), sum(each.answered for each in told)
    return [f"{each:,}" for each in (images, answered, images - answered, sum(each.rejects for each in told))]


def print_look(look: "Look") -> None:
    """Print what a look at drift found: a row a test, the sentence, and where the report is."""
    console = Console(highlight=False)
    if look.check:
        table = Table(title="Drift", title_justify="left", title_style="bold", box=None, pad_edge=False)
        for name in ("test", "effect", "limit", "p, corrected", ""):
            table.add_column(name, justify="right" if name in ("effect", "limit", "p, corrected") else "left")
        for result in look.check.results:
            told = "drift" if result.drifted else ""
            table.add_row(result.name, f"{result.effect:.3f}", f"{result.limit:.2f}", result.p_text, told)
        console.print(table)
    console.print(look.sentence)
    if look.report:
        console.print(f"Look at: {look.report.as_posix()}")


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
