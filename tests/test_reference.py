"""The stage reference and its summaries: complete, from validation images alone, the same bytes each time."""

import io
import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from trained_project import CLASSES, write_trained_project

from ferrule.calibration import apply_temperature
from ferrule.monitoring.drift import summarize_embeddings, summarize_shares, summarize_values
from ferrule.predictions import read_probabilities, tabulate_predictions
from ferrule.tracking import digest_file, read_reference
from pipelines import evaluate, reference, register
from pipelines.params import load_params


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Give a project with predictions as evaluate writes them, but without a network behind them."""
    root = tmp_path_factory.mktemp("evaluated")
    write_trained_project(root, network=False)
    rng, artifacts = np.random.default_rng(0), root / "artifacts"
    split = pd.read_parquet(artifacts / "split" / "split.parquet")
    held_out = split[split["split"].isin(["val", "test"])].assign(leak_free=True)
    images = np.load(artifacts / "augment" / "images.npy")[held_out.index]
    probabilities = rng.dirichlet([1, 1, 1], len(held_out)).astype(np.float32)
    (artifacts / "evaluate").mkdir()
    table = tabulate_predictions(held_out, images, CLASSES, plain=probabilities, averaged=probabilities)
    table.to_parquet(artifacts / "evaluate" / "predictions.parquet")
    np.save(artifacts / "evaluate" / "embeddings.npy", rng.normal(size=(40, 5)).astype(np.float32))
    return root


def run(root):
    reference.run(load_params(root), root)
    folder = root / "artifacts" / "reference"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_describes_the_validation_images(evaluated):
    files = run(evaluated)
    assert set(files) == {"reference.parquet", "reference.json", "embeddings.npz"}
    content = json.loads(files["reference.json"])
    split = pd.read_parquet(evaluated / "artifacts" / "split" / "split.parquet")
    val = split[split["split"] == "val"]
    images = np.load(evaluated / "artifacts" / "augment" / "images.npy")[val.index]
    assert content["rows"] == 40
    assert content["labels"]["happy"] == pytest.approx((val["label"] == "happy").mean())
    assert list(content["predictions"]) == list(CLASSES)
    assert set(content["values"]) == {"confidence", "brightness", "contrast", "sharpness"}
    assert content["values"]["brightness"]["mean"] == pytest.approx(images.mean(), abs=1e-5)
    embeddings = np.load(evaluated / "artifacts" / "reference" / "embeddings.npz")
    assert embeddings["mean"].shape == (5,)
    assert embeddings["covariance"].shape == (5, 5)


def test_its_table_has_a_row_an_image_with_probabilities_at_the_temperature(evaluated):
    files = run(evaluated)
    table = pd.read_parquet(io.BytesIO(files["reference.parquet"]))
    probabilities = table[[f"probability_{name}" for name in CLASSES]].to_numpy()
    assert list(table) == [
        *("pixel_hash", "label", "predicted"),
        *(f"probability_{name}" for name in CLASSES),
        *("confidence", "brightness", "contrast", "sharpness", "embedding"),
    ]
    assert (len(table), len(table["embedding"].iloc[0])) == (40, 5)
    assert table["confidence"].to_numpy() == pytest.approx(probabilities.max(axis=1))
    predictions = pd.read_parquet(evaluated / "artifacts" / "evaluate" / "predictions.parquet")
    val = predictions[predictions["split"] == "val"]
    temperature = json.loads(files["reference.json"])["temperature"]
    assert temperature > 1  # these predictions know nothing
    assert probabilities == pytest.approx(apply_temperature(read_probabilities(val, CLASSES), temperature))


def test_register_keeps_it_with_the_model_once_and_a_changed_one_anew(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_trained_project(tmp_path, votes=False)
    params = load_params(tmp_path)
    for stage in (evaluate, reference, register):
        stage.run(params, tmp_path)
    model_md5 = digest_file(tmp_path / "artifacts" / "train" / "model.keras")
    (stored,) = (tmp_path / "mlruns" / "artifacts").glob("*/artifacts/reference/reference.parquet")
    assert {path.name for path in stored.parent.iterdir()} == {"reference.parquet", "reference.json", "embeddings.npz"}
    before = stored.stat().st_mtime_ns
    register.run(params, tmp_path)
    assert stored.stat().st_mtime_ns == before
    assert len(read_reference(tmp_path, model_md5)) == 40
    read_reference(tmp_path, model_md5).iloc[:30].to_parquet(tmp_path / "artifacts" / "reference" / "reference.parquet")
    register.run(params, tmp_path)
    assert len(read_reference(tmp_path, model_md5)) == 30
    assert read_reference(tmp_path, "another") is None


def test_the_same_inputs_give_the_same_bytes(evaluated):
    first = run(evaluated)
    time.sleep(2.1)  # longer than a zip archive's clock ticks
    assert run(evaluated) == first


def test_it_needs_neither_tensorflow_nor_mlflow():
    script = "import sys, pipelines.reference; sys.exit(bool({'tensorflow', 'keras', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, timeout=60).returncode == 0


@pytest.mark.parametrize("bins", [5, 20])
def test_bins_hold_equal_shares_and_their_edges_are_quantiles(bins):
    values = np.random.default_rng(0).lognormal(size=1000)
    summary = summarize_values(values, bins=bins)
    assert len(summary["edges"]) == bins - 1
    assert summary["shares"] == pytest.approx([1 / bins] * bins, abs=0.001)
    assert summary["quantiles"]["0.5"] == pytest.approx(np.median(values), abs=1e-5)
    counted = np.histogram(values, [-np.inf, *summary["edges"], np.inf])[0] / len(values)
    assert counted == pytest.approx(summary["shares"], abs=0.002)


def test_values_that_are_all_one_make_two_bins():
    summary = summarize_values(np.full(10, 7.0), bins=20)
    assert (summary["edges"], summary["shares"], summary["std"]) == ([7.0], [0.0, 1.0], 0.0)


def test_shares_name_every_class():
    assert summarize_shares(pd.Series(["a", "a", "b"]), ("a", "b", "c")) == {"a": 0.666667, "b": 0.333333, "c": 0.0}


def test_embeddings_are_summed_up_as_a_gaussian():
    rows = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    mean, covariance = summarize_embeddings(rows)
    np.testing.assert_allclose(mean, rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(rows.T), atol=1e-6)
    assert summarize_embeddings(rows[:, :1])[1].shape == (1, 1)
