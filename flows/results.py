"""The scores of the last evaluation, written from metrics.json, and those of every seed that MLflow knows."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from ferrule.documents import say_spread, write_between, write_table
from ferrule.errors import WorkflowError
from ferrule.store import open_store
from ferrule.tracking import RECIPE_TAG, TEST_TAG, digest_file, model_runs, search_runs

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

SEEDS_HEAD = (
    "recipe",
    "training images",
    "seeds",
    "training, minutes",
    "validation",
    "test, one view",
    "test, leak-free",
    "test",
    "macro F1",
)
_SEEDS_METRICS = (
    "val_tta_accuracy",
    "test_accuracy",
    "test_leak_free_tta_accuracy",
    "test_tta_accuracy",
    "test_tta_macro_f1",
)
_OF_ONE_SEED = {"seed", "originals", "generated", "val_images"}  # which labels are left out as suspect goes by the seed


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


def seeds_table(root: Path) -> str:
    """Return a Markdown table of every recipe that was trained and evaluated: the mean over its seeds, ± their spread.

    The spread is the standard deviation over seeds. Runs belong together where recipe, settings and test images
    are the same; of one seed the newest counts. Scores are with test-time averaging unless it says
    otherwise. Raises WorkflowError where nothing has been trained and evaluated.
    """
    rows = [_seeds_row(list(runs.values())) for runs in _group_by_settings(root).values()]
    if not rows:
        raise WorkflowError("Expected runs in mlruns/ that were trained and evaluated; got none; run `ferrule run`.")
    return write_table(SEEDS_HEAD, sorted(rows))


def write_results(root: Path, document: Path) -> None:
    """Put the table between the two marks in `document`; raises WorkflowError where they are missing."""
    write_between(document, BEGIN, END, results_table(root))


def _group_by_settings(root: Path) -> dict[str, dict[str, Any]]:
    """Return the runs that were trained and evaluated: a group for all that are equal but for the seed, by seed."""
    groups: dict[str, dict[str, Any]] = defaultdict(dict)
    for run in search_runs(open_store(root), f"tags.`{TEST_TAG}` != ''"):
        data = run.data
        if RECIPE_TAG in data.tags and {"train_seconds", *_SEEDS_METRICS} <= data.metrics.keys():
            settings = {name: value for name, value in data.params.items() if name not in _OF_ONE_SEED}
            same = json.dumps([data.tags[RECIPE_TAG], data.tags[TEST_TAG], settings], sort_keys=True)
            groups[same].setdefault(data.params["seed"], data)  # the newest run comes first
    return groups


def _seeds_row(runs: Sequence[Any]) -> tuple[str, ...]:
    minutes = mean(run.metrics["train_seconds"] for run in runs) / 60
    scores = (say_spread([run.metrics[name] for run in runs]) for name in _SEEDS_METRICS)
    recipe, images = runs[0].tags[RECIPE_TAG], mean(int(run.params["originals"]) for run in runs)
    return f"`{recipe}`", f"{images:,.0f}", str(len(runs)), f"{minutes:.1f}", *scores


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
