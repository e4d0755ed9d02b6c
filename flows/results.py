"""The table of scores that stands in a README, written from metrics.json alone."""

import json
from pathlib import Path

from ferrule.errors import WorkflowError

METRICS = "artifacts/evaluate/metrics.json"
SPLIT = "artifacts/split/split.json"
BEGIN = "<!-- results: `ferrule results --write README.md` writes what follows -->"
END = "<!-- end of results -->"

BLOCKS = {
    "test": "test ({strategy} split)",
    "test_tta": "the same, with test-time averaging",
    "test_leak_free": "test, images without a twin elsewhere",
    "test_leak_free_tta": "the same, with test-time averaging",
    "val": "validation",
}
COLUMNS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "ece": "ECE",
}
PLAIN = {"log_loss"}  # not a share, so not in per cent


def results_table(root: Path) -> str:
    """Return the scores of the last evaluation as a Markdown table, each with its 95 % interval.

    Raises WorkflowError where nothing has been evaluated.
    """
    path = root / METRICS
    if not path.is_file():
        raise WorkflowError(f"Expected {METRICS}, which evaluate writes; it is not there; run `ferrule run`.")
    metrics = json.loads(path.read_text())
    strategy = json.loads((root / SPLIT).read_text())["strategy"]
    lines = [f"| | images | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for block, name in BLOCKS.items():
        if block in metrics:
            cells = [_cell(metrics[block][column], column not in PLAIN) for column in COLUMNS]
            lines.append(f"| {name.format(strategy=strategy)} | {metrics[block]['rows']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_results(root: Path, document: Path) -> None:
    """Put the table between the two marks in `document`; raises WorkflowError where they are missing."""
    text = document.read_text() if document.is_file() else ""
    if BEGIN not in text or END not in text.split(BEGIN, 1)[1]:
        raise WorkflowError(
            f"Expected the lines {BEGIN!r} and {END!r} in {document}; add them where the table belongs."
        )
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    document.write_text(f"{before}{BEGIN}\n\n{results_table(root)}\n\n{END}{after}")


def _cell(metric: dict[str, float], share: bool) -> str:
    value, low, high = metric["value"], metric["low"], metric["high"]
    if share:
        return f"**{value:.1%}** ({low * 100:.1f}-{high * 100:.1f})"
    return f"**{value:.3f}** ({low:.3f}-{high:.3f})"
