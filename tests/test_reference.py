"""The stage reference: complete, from validation images alone, the same bytes each time."""

import io
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from trained_project import CLASSES, write_trained_project

from ferrule.calibration import apply_temperature
from ferrule.monitoring.archive import log_reference, read_reference
from ferrule.predictions import read_probabilities, tabulate_predictions
from pipelines import reference
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
    assert set(files) == {"reference.parquet", "reference.json"}
    content = json.loads(files["reference.json"])
    split = pd.read_parquet(evaluated / "artifacts" / "split" / "split.parquet")
    val = split[split["split"] == "val"]
    images = np.load(evaluated / "artifacts" / "augment" / "images.npy")[val.index]
    assert content["rows"] == 40
    assert content["labels"]["happy"] == pytest.approx((val["label"] == "happy").mean())
    assert set(content["predictions"]) <= set(CLASSES)
    assert set(content["means"]) == {"confidence", "brightness", "contrast", "sharpness"}
    assert content["means"]["brightness"] == pytest.approx(images.mean(), abs=1e-5)


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


def test_it_is_kept_with_the_model_once_and_a_changed_one_anew(evaluated, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run(evaluated)
    folder = shutil.copytree(evaluated / "artifacts" / "reference", tmp_path / "reference")
    log_reference(tmp_path, "model", folder)
    (stored,) = (tmp_path / "mlruns" / "artifacts").glob("*/artifacts/reference/reference.parquet")
    assert {path.name for path in stored.parent.iterdir()} == {"reference.parquet", "reference.json"}
    before = stored.stat().st_mtime_ns
    log_reference(tmp_path, "model", folder)
    assert stored.stat().st_mtime_ns == before
    assert len(read_reference(tmp_path, "model")) == 40
    read_reference(tmp_path, "model").iloc[:30].to_parquet(folder / "reference.parquet")
    log_reference(tmp_path, "model", folder)
    assert len(read_reference(tmp_path, "model")) == 30
    assert read_reference(tmp_path, "another") is None


def test_the_same_inputs_give_the_same_bytes(evaluated):
    first = run(evaluated)
    time.sleep(2.1)  # longer than a zip archive's clock ticks
    assert run(evaluated) == first


def test_it_needs_neither_tensorflow_nor_mlflow():
    script = "import sys, pipelines.reference; sys.exit(bool({'tensorflow', 'keras', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, timeout=60).returncode == 0
