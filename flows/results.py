"""The table of scores that stands in a README, written from metrics.json alone."""

import json
from pathlib import Path
from typing import Any

from ferrule.documents import write_between, write_table
from ferrule.errors import WorkflowError
from ferrule.store import open_store
from ferrule.tracking import RECIPE_TAG, digest_file, model_runs

METRICS = "artifacts/evaluate/metrics.json"
CALIBRATION = "artifacts/evaluate/calibration.json"
SPLIT = "artifacts/split/split.json"
NETWORK = "artifacts/train/model.keras"
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
    "calibrated": "ECE, calibrated",
}
PLAIN = {"log_loss"}  # not a share, so not in per cent

LINE_HEAD = (
    "recipe",
    "seed",
    "twins",
    "training, minutes",
    "PublicTest",
    "PrivateTest, one view",
    "PrivateTest, leak-free",
    "PrivateTest",
    "macro F1",
    "disgust recall",
)


def results_table(root: Path) -> str:
    """Return the scores of the last evaluation as a Markdown table, each with its 95 % interval.

    Raises WorkflowError where nothing has been evaluated.
    """
    metrics = _read_metrics(root)
    strategy = json.loads((root / SPLIT).read_text())["strategy"]
    calibration = json.loads((root / CALIBRATION).read_text())["scores"]
    rows = []
    for block, name in BLOCKS.items():
        if block in metrics:
            scores = metrics[block] | {"calibrated": calibration[block]["ece"]["after"]}
            cells = [_cell(scores[column], column not in PLAIN) for column in COLUMNS]
            rows.append((name.format(strategy=strategy), f"{scores['rows']:,}", *cells))
    return write_table(("", "images", *COLUMNS.values()), rows)


def results_line(root: Path) -> str:
    """Return the last run as one row of the table in docs/recipes.md (LINE_HEAD), scores with test-time averaging.

    Raises WorkflowError where nothing has been trained and evaluated, or not on FER-2013's own splits.
    """
    metrics, split = _read_metrics(root), json.loads((root / SPLIT).read_text())
    if split["strategy"] != "official":
        raise WorkflowError(
            f"Expected scores on PublicTest and PrivateTest; the split is {split['strategy']}; leave --line away for "
            "its scores."
        )
    run = _find_training(root).data
    test = metrics["test_tta"]
    disgust = test["classes"].get("disgust")
    cells = [
        f"`{run.tags[RECIPE_TAG]}`",
        run.params["seed"],
        split["twins"],
        f"{run.metrics['train_seconds'] / 60:.1f}",
        *(
            f"{metrics[block]['accuracy']['value']:.1%}" if block in metrics else ""
            for block in ("val_tta", "test", "test_leak_free_tta")
        ),
        _cell(test["accuracy"], share=True),
        f"{test['macro_f1']['value']:.1%}",
        f"{disgust['recall']['value']:.1%}" if disgust else "",
    ]
    return f"| {' | '.join(cells)} |"


def write_results(root: Path, document: Path) -> None:
    """Put the table between the two marks in `document`; raises WorkflowError where they are missing."""
    write_between(document, BEGIN, END, results_table(root))


def _find_training(root: Path) -> Any:
    """Return the MLflow run that trained the last model; raises WorkflowError where there is no such run."""
    network = root / NETWORK
    runs = model_runs(open_store(root), digest_file(network)) if network.is_file() else []
    trained = [run for run in runs if RECIPE_TAG in run.data.tags and "train_seconds" in run.data.metrics]
    if not trained:
        raise WorkflowError("Expected the training of the last model in mlruns/; it is not there; run `ferrule run`.")
    return trained[0]


def _read_metrics(root: Path) -> dict[str, Any]:
    path = root / METRICS
    if not path.is_file():
        raise WorkflowError(f"Expected {METRICS}, which evaluate writes; it is not there; run `ferrule run`.")
    return json.loads(path.read_text())


def _cell(metric: dict[str, float], share: bool) -> str:
    value, low, high = metric["value"], metric["low"], metric["high"]
    if share:
        return f"**{value:.1%}** ({low * 100:.1f}-{high * 100:.1f})"
    return f"**{value:.3f}** ({low:.3f}-{high:.3f})"
