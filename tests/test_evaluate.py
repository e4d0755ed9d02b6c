"""The stage evaluate on a small trained project: its files, its blocks, its counted look."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from trained_project import CLASSES, write_network, write_trained_project

from ferrule.calibration import apply_temperature, calibrate_predictions, fit_temperature
from ferrule.charts.evaluation import (
    class_chart,
    confusion_chart,
    coverage_chart,
    mistakes_sheet,
    reliability_chart,
)
from ferrule.charts.style import save_figure
from ferrule.emotions import class_ids
from ferrule.errors import DataError
from ferrule.metrics import calibration_table, confusion_matrix, score
from ferrule.predictions import flatten_scores, read_probabilities, select_held_out
from ferrule.quality import hash_pixels
from ferrule.samples import load_samples
from ferrule.seen import list_seen
from ferrule.store import open_store
from ferrule.tracking import TEST_TAG, digest_file, find_model_run
from pipelines import evaluate
from pipelines.params import load_params

BLOCKS = ["test", "test_tta", "test_leak_free", "test_leak_free_tta", "val", "val_tta"]
FILES = {
    "metrics.json", "headline.json", "calibration.json", "network.json",
    "predictions.parquet", "seen.parquet", "embeddings.npy", "confusion.csv", "reliability.csv",
    "confusion_matrix.png", "reliability.png", "risk_coverage.png", "per_class.png", "mistakes.png",
    "learning_curves.png",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluated")
    write_trained_project(root)
    evaluate.run(load_params(root), root)
    return root


@pytest.fixture(scope="module")
def metrics(evaluated):
    return json.loads((evaluated / "artifacts" / "evaluate" / "metrics.json").read_text())


def test_it_writes_what_the_contract_names(evaluated, metrics):
    assert {path.name for path in (evaluated / "artifacts" / "evaluate").iterdir()} == FILES
    assert list(metrics) == BLOCKS
    assert [metrics[name]["rows"] for name in BLOCKS] == [60, 60, 57, 57, 40, 40]  # three test images have a copy
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier", "ece"):
        assert set(metrics["test"][name]) == {"value", "low", "high"}
    assert list(metrics["val"]["classes"]) == list(CLASSES)


def test_predictions_and_metrics_tell_the_same(evaluated, metrics):
    table = pd.read_parquet(evaluated / "artifacts" / "evaluate" / "predictions.parquet")
    assert sorted(table["split"].unique()) == ["test", "val"]
    for ending in ("", "_tta"):
        probabilities = read_probabilities(table, CLASSES, ending)
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert (np.array(CLASSES)[probabilities.argmax(axis=1)] == table[f"predicted{ending}"]).all()
        for split in ("test", "val"):
            rows = table[table["split"] == split]
            accuracy = sklearn.metrics.accuracy_score(rows["label"], rows[f"predicted{ending}"])
            assert metrics[split + ending]["accuracy"]["value"] == pytest.approx(accuracy, abs=1e-6)
    assert 0.6 < metrics["test"]["accuracy"]["value"] < 0.95  # the network reads brightness, some labels are wrong


def test_calibration_is_fitted_on_val_and_told_of_every_block(evaluated, metrics):
    folder = evaluated / "artifacts" / "evaluate"
    confidence = json.loads((folder / "calibration.json").read_text())
    val = pd.read_parquet(folder / "predictions.parquet").query("split == 'val'")
    labels = np.array(class_ids(val["label"], CLASSES))
    for ending in ("", "_tta"):
        fitted = fit_temperature(labels, read_probabilities(val, CLASSES, ending))
        assert confidence[f"temperature{ending}"] == pytest.approx(fitted, abs=1e-4)
    assert list(confidence["scores"]) == BLOCKS
    for block, scores in confidence["scores"].items():
        assert set(scores) == {"log_loss", "brier", "ece"}
        assert all(found["before"] == metrics[block][name] for name, found in scores.items())
    after = score(
        labels,
        apply_temperature(read_probabilities(val, CLASSES), confidence["temperature"]),
        CLASSES, bootstrap=200, bins=15, seed=2013,
    )  # fmt: skip
    assert confidence["scores"]["val"]["ece"]["after"] == after["ece"]
    assert after["log_loss"]["value"] <= metrics["val"]["log_loss"]["value"]


def test_abstention_is_chosen_on_val_and_its_price_on_test_is_told(evaluated):
    folder = evaluated / "artifacts" / "evaluate"
    confidence = json.loads((folder / "calibration.json").read_text())
    calibrated, _ = calibrate_predictions(pd.read_parquet(folder / "predictions.parquet"), CLASSES)
    assert [rule["target"] for rule in confidence["abstention"]] == [percent / 100 for percent in range(50, 100)]
    assert confidence["certainty"] == 0.95
    for split, told in (("val", confidence["abstention"]), ("test", confidence["test"])):
        rows = calibrated[calibrated["split"] == split]
        sure = read_probabilities(rows, CLASSES).max(axis=1)
        for rule in told:
            answered = rows[sure >= (2 if rule["threshold"] is None else rule["threshold"])]
            assert (rule["coverage"] or 0) == len(answered) / len(rows)
            if len(answered):
                assert rule["accuracy"] == pytest.approx((answered["predicted"] == answered["label"]).mean())
    assert [rule["target"] for rule in confidence["test"]] == [0.8, 0.9]
    assert confidence["curve"][-1]["coverage"] == 1.0
    assert any(rule["threshold"] for rule in confidence["abstention"])


def test_the_network_is_described(evaluated):
    described = json.loads((evaluated / "artifacts" / "evaluate" / "network.json").read_text())
    assert described == {"name": "reader", "networks": 1, "parameters": 6}


def test_what_the_model_has_seen_is_listed_by_pixels(evaluated):
    artifacts = evaluated / "artifacts"
    seen = pd.read_parquet(artifacts / "evaluate" / "seen.parquet")["pixel_hash"].tolist()
    split = pd.read_parquet(artifacts / "split" / "split.parquet")["split"]
    images = load_samples(artifacts / "augment").images
    assert seen == sorted(hash_pixels(images[split.isin(["train", "val"])]))
    assert not set(seen) & set(hash_pixels(images[split == "test"]))


def test_generated_images_are_not_listed_and_copies_once():
    split = pd.DataFrame({"sample_id": range(5), "parent_id": [0, 1, 2, 3, 0]})
    split["split"] = ["train", "val", "train", "test", "train"]
    images = np.zeros((5, 48, 48), np.uint8) + np.uint8([9, 5, 9, 4, 3])[:, None, None]
    assert list_seen(split, images)["pixel_hash"].tolist() == sorted(hash_pixels(images[:2]))
    assert len(list_seen(split[3:4], images[3:4])) == 0


def test_agreement_with_ferplus_sees_through_wrong_labels(metrics):
    voted = metrics["test"]["ferplus"]
    assert voted["rows"] == 60
    assert voted["agreement"]["value"] > metrics["test"]["accuracy"]["value"]
    assert voted["label_agreement"]["value"] < 1


def test_plots_for_dvc_hold_every_test_image(evaluated):
    folder = evaluated / "artifacts" / "evaluate"
    assert pd.read_csv(folder / "confusion.csv").columns.tolist() == ["label", "predicted"]
    assert len(pd.read_csv(folder / "confusion.csv")) == pd.read_csv(folder / "reliability.csv")["count"].sum() == 60
    assert np.load(folder / "embeddings.npy").shape == (40, 1)  # of the validation images


def test_scores_and_files_are_in_the_run_of_the_model(evaluated, metrics):
    client = open_store(evaluated)
    run_id = find_model_run(evaluated, digest_file(evaluated / "artifacts" / "train" / "model.keras"))
    logged = client.get_run(run_id).data
    for name, value in flatten_scores(metrics).items():
        assert logged.metrics[name] == value
    assert logged.metrics["test_accuracy_low"] < logged.metrics["test_accuracy"] < logged.metrics["test_accuracy_high"]
    assert "test_recall_happy" in logged.metrics
    assert len(logged.tags[TEST_TAG]) == 32
    assert {Path(file.path).name for file in client.list_artifacts(run_id, "evaluate")} == FILES


def test_the_same_inputs_give_the_same_bytes_and_another_look(evaluated, tmp_path, capsys):
    root = shutil.copytree(evaluated, tmp_path / "again")
    before = {path.name: path.read_bytes() for path in (root / "artifacts" / "evaluate").iterdir()}
    evaluate.run(load_params(root), root)
    assert {path.name: path.read_bytes() for path in (root / "artifacts" / "evaluate").iterdir()} == before
    printed = capsys.readouterr().out
    assert "look 2 at the test images by this model; 2 by all models on this data" in printed
    assert re.search(r"calibration error on test images [\d.]+ %, and [\d.]+ % at the temperature", printed)
    assert "to be right in 80 % it answers" in printed
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    evaluate.run(load_params(root), root)
    assert "look 1 at the test images by this model; 3 by all models on this data" in capsys.readouterr().out


def test_a_model_without_mistakes_and_without_a_class_is_drawn_too(tmp_path):
    labels, sure = np.zeros(20, int), np.tile(np.float32([1, 0, 0]), (20, 1))
    scores = score(labels, sure, CLASSES, bootstrap=10, bins=5, seed=0)
    images = np.zeros((20, 48, 48), np.uint8)
    never = {"target": 0.9, "threshold": None, "coverage": None, "accuracy": None}
    curve = [{"coverage": 1.0, "accuracy": 1.0, "threshold": 1.0}]
    confidence = {"certainty": 0.95, "curve": curve, "abstention": [never], "test": [never]}
    figures = [
        coverage_chart(confidence),
        confusion_chart(confusion_matrix(labels, labels, 3), CLASSES, ""),
        reliability_chart(calibration_table(labels, sure, bins=5), ""),
        class_chart(scores["classes"], ""),
        mistakes_sheet(images, labels, sure, CLASSES),
    ]
    for number, figure in enumerate(figures):
        save_figure(figure, tmp_path / f"{number}.png")
        assert cv2.imread(str(tmp_path / f"{number}.png")).std() > 1


def test_a_look_that_cannot_be_counted_is_not_shown(evaluated, tmp_path, monkeypatch, capsys):
    root = shutil.copytree(evaluated, tmp_path / "uncounted")
    shutil.rmtree(root / "artifacts" / "evaluate")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # where no server answers
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Exception, match="Expected an MLflow server"):
        evaluate.run(load_params(root), root)
    assert not (root / "artifacts" / "evaluate").exists()
    assert "accuracy" not in capsys.readouterr().out


def test_a_model_of_other_classes_is_refused(evaluated, tmp_path):
    root = shutil.copytree(evaluated, tmp_path / "other")
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("[angry, happy, neutral]", "[angry, neutral]"))
    with pytest.raises(DataError, match=r"2 classes.*knows 3; run the train stage"):
        evaluate.run(load_params(root), root)


def test_generated_and_dropped_images_are_never_held_out():
    split = pd.DataFrame(
        {
            "sample_id": [0, 1, 2, 3, 4],
            "label": "happy",
            "group_id": [0, 1, 0, 0, 1],
            "split": ["test", "val", "dropped", "train", "unlabelled"],
        }
    )
    held_out = select_held_out(split[["sample_id"]], split)
    with pytest.raises(DataError, match="row by row"):
        select_held_out(split[["sample_id"]] + 1, split)
    assert held_out[["row", "split", "leak_free"]].values.tolist() == [[0, "test", False], [1, "val", False]]


def test_without_votes_nothing_is_said_of_them(evaluated, tmp_path):
    root = shutil.copytree(evaluated, tmp_path / "no-votes")
    table = root / "artifacts" / "augment" / "samples.parquet"
    pd.read_parquet(table).filter(regex="^(?!votes_)").to_parquet(table)
    evaluate.run(load_params(root), root)
    metrics = json.loads((root / "artifacts" / "evaluate" / "metrics.json").read_text())
    assert all("ferplus" not in block for block in metrics.values())
