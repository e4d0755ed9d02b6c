"""Stage evaluate: what the model is worth on images it never saw, each score with its interval; one counted look."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferrule.charts.evaluation import (
    class_chart,
    confusion_chart,
    coverage_chart,
    mistakes_sheet,
    reliability_chart,
)
from ferrule.charts.style import save_figure
from ferrule.charts.training import learning_curves
from ferrule.confidence import describe_confidence, say_confidence
from ferrule.embeddings import embed
from ferrule.emotions import class_ids
from ferrule.errors import DataError
from ferrule.inference import predict_probabilities
from ferrule.metrics import calibration_table, confusion_matrix
from ferrule.network import load_network
from ferrule.predictions import read_probabilities, score_predictions, select_held_out, tabulate_predictions
from ferrule.samples import load_samples
from ferrule.seen import list_seen
from ferrule.tracking import Looks, count_look, digest_file, digest_test_set, log_evaluation
from ferrule.views import ALL, PLAIN
from pipelines.folders import fresh_folder
from pipelines.params import Params

HEADLINE = ("accuracy", "macro_f1", "log_loss", "ece")


def run(params: Params, root: Path) -> None:
    """Write metrics.json, calibration.json, predictions.parquet, seen.parquet, embeddings.npy (of val), and pictures.

    The look at the test images is counted, and the scores are in the model's run, before anything is shown.
    """
    classes, artifacts = params.ingest.classes, root / "artifacts"
    samples = load_samples(artifacts / "augment")
    split = pd.read_parquet(artifacts / "split" / "split.parquet")
    held_out = select_held_out(samples.table, split)
    images = samples.images[held_out["row"].to_numpy()]
    print(f"asking the network about {len(images):,} images, plain and in {len(ALL)} views each", flush=True)
    model = _load(artifacts / "train" / "model.keras", classes)
    predictions = predict_held_out(model, images, held_out, classes)
    settings = {"bootstrap": params.evaluate.bootstrap, "bins": params.evaluate.calibration_bins, "seed": params.seed}
    metrics = score_predictions(predictions, held_out, classes, **settings)
    confidence = describe_confidence(predictions, held_out, classes, metrics, **settings)
    val, test = ((predictions["split"] == name).to_numpy() for name in ("val", "test"))
    with fresh_folder(artifacts / "evaluate") as out:
        (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        (out / "calibration.json").write_text(json.dumps(confidence, indent=2) + "\n")
        (out / "headline.json").write_text(json.dumps(_headline(metrics), indent=2) + "\n")
        (out / "network.json").write_text(json.dumps(_describe_network(model), indent=2) + "\n")
        predictions.to_parquet(out / "predictions.parquet", index=False)
        list_seen(split, samples.images).to_parquet(out / "seen.parquet", index=False)
        np.save(out / "embeddings.npy", embed(model, images[val]))
        _plot(out, images[test], predictions[test], metrics["test"], classes, params.evaluate.calibration_bins)
        save_figure(coverage_chart(confidence), out / "risk_coverage.png")
        save_figure(learning_curves(pd.read_csv(artifacts / "train" / "history.csv")), out / "learning_curves.png")
        looks = _record(root, out, predictions, metrics)
    print(f"test accuracy {_say(metrics['test'])}, macro F1 {_say(metrics['test'], 'macro_f1')}; {looks}")
    print(say_confidence(confidence))


def _headline(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return what one compares first, few enough for a line of `dvc metrics diff`."""
    return {block: {name: metrics[block][name]["value"] for name in HEADLINE} for block in ("test", "test_tta", "val")}


def _describe_network(model: Any) -> dict[str, str | int]:
    """Return what one wants to know of the network: its name, of how many it is the mean, and its parameters."""
    members = [layer for layer in model.layers if hasattr(layer, "layers")]
    return {"name": model.name, "networks": max(1, len(members)), "parameters": model.count_params()}


def _load(path: Path, classes: tuple[str, ...]) -> Any:
    """Return the trained network; raises DataError where it tells other classes apart."""
    model = load_network(path)
    if model.output_shape[-1] != len(classes):
        raise DataError(
            f"Expected a model of the {len(classes)} classes in ingest.classes; {path} knows {model.output_shape[-1]}; "
            "run the train stage again."
        )
    return model


def predict_held_out(model: Any, images: np.ndarray, held_out: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return the table of what `model` says of `images`, the rows of `held_out`, plain and averaged over all views."""
    plain = predict_probabilities(model, images, views=PLAIN)
    averaged = predict_probabilities(model, images, views=ALL)
    return tabulate_predictions(held_out, images, classes, plain=plain, averaged=averaged)


def _plot(
    out: Path, images: np.ndarray, test: pd.DataFrame, scores: dict[str, Any], classes: tuple[str, ...], bins: int
) -> None:
    """Write the tables for `dvc plots` and the pictures of the plain predictions on the test images."""
    labels, probabilities = np.array(class_ids(test["label"], classes)), read_probabilities(test, classes)
    reliability = calibration_table(labels, probabilities, bins=bins)
    test[["label", "predicted"]].to_csv(out / "confusion.csv", index=False)
    reliability.round(6).to_csv(out / "reliability.csv", index=False)
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), len(classes))
    subtitle = f"{len(test):,} test images; accuracy {_say(scores)}"
    calibration = f"{len(test):,} test images; expected calibration error {_say(scores, 'ece')}"
    save_figure(confusion_chart(matrix, classes, subtitle), out / "confusion_matrix.png")
    save_figure(reliability_chart(reliability, calibration), out / "reliability.png")
    save_figure(class_chart(scores["classes"], subtitle), out / "per_class.png")
    save_figure(mistakes_sheet(images, labels, probabilities, classes), out / "mistakes.png")


def _record(root: Path, out: Path, predictions: pd.DataFrame, metrics: dict[str, Any]) -> Looks:
    """Count the look, and log scores and files to the run of the model."""
    model_md5 = digest_file(root / "artifacts" / "train" / "model.keras")
    test_md5 = digest_test_set(predictions)
    looks = count_look(root, model_md5, test_md5)
    log_evaluation(root, model_md5, test_md5, metrics, out)
    return looks


def _say(scores: dict[str, Any], name: str = "accuracy") -> str:
    """Return a score as "62.9 % (61.3 % to 64.5 %)"."""
    return "{value:.1%} ({low:.1%} to {high:.1%})".format(**scores[name]).replace("%", " %")
