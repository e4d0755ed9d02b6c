"""The stage export: its files, its parity with the network, equal bytes, and what fails and says so."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from trained_project import CLASSES, run_stages, write_trained_project

from ferrule.portable.bundle import MODELS, read_bundle
from ferrule.portable.model import PortableModel
from ferrule.samples import load_samples
from ferrule.tracking import digest_file
from pipelines.export import draw_originals
from pipelines.params import load_params


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Give a project after export, with a fresh network of the kind that is trained."""
    from ferrule.network import build_network, save_network

    root = tmp_path_factory.mktemp("exported")
    write_trained_project(root)
    change(root, int8=True, calibration_images=16, max_int8_loss=1.0)
    save_network(build_network("small", 3, dropout=0.2, seed=1), root / "artifacts" / "train" / "model.keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run_stages(root, "evaluate", "export")
    return root


@pytest.fixture
def root(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "checkout")


def change(root, **values):
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["export"] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def read(root, path):
    return json.loads((root / "artifacts" / path).read_text())


def contents(root):
    return {path.name: path.read_bytes() for path in (root / "artifacts" / "export").iterdir()}


def test_it_writes_both_precisions_and_what_is_known_of_them(exported):
    assert contents(exported).keys() == {*MODELS.values(), "bundle.json", "parity.json"}
    facts, metrics = read_bundle(exported / "artifacts" / "export"), read(exported, "evaluate/metrics.json")
    confidence = read(exported, "evaluate/calibration.json")
    assert (facts.name, facts.classes) == ("ferrule", CLASSES)
    assert facts.temperature == confidence["temperature"]
    assert list(facts.abstention) == confidence["abstention"]
    assert list(facts.curve) == confidence["curve"]
    assert facts.scores["test"]["accuracy"] == metrics["test"]["accuracy"]
    assert facts.scores["test"]["ece"] == confidence["scores"]["test"]["ece"]["after"]
    assert facts.recalls["happy"] == metrics["test"]["classes"]["happy"]["recall"]
    assert facts.model_md5 == digest_file(exported / "artifacts" / "train" / "model.keras")
    assert facts.data_md5 == "0123456789abcdef0123456789abcdef.dir"
    assert facts.parity == read(exported, "export/parity.json")


def test_it_says_what_the_network_said_of_the_test_images(exported):
    table = pd.read_parquet(exported / "artifacts" / "evaluate" / "predictions.parquet").query("split == 'test'")
    images = load_samples(exported / "artifacts" / "augment").images[table["sample_id"].to_numpy()]
    told = PortableModel.open(exported / "artifacts" / "export").session.ask(images)
    np.testing.assert_allclose(told, table[[f"probability_{name}" for name in CLASSES]], atol=1e-5)
    found = read(exported, "export/parity.json")["float32"]
    assert (found["rows"], found["agreement"], found["accuracy_loss"]) == (60, 1.0, 0.0)
    assert found["difference"] < 1e-6
    assert found["passed"]


def test_the_same_network_gives_the_same_bytes(root):
    before = contents(root)
    run_stages(root, "export")
    assert contents(root) == before


def test_what_is_not_the_network_is_written_and_said(root, capsys):
    from ferrule.network import build_network, save_network

    save_network(build_network("small", 3, dropout=0.2, seed=2), root / "artifacts" / "train" / "model.keras")
    change(root, int8=False)
    run_stages(root, "export")
    parity = read(root, "export/parity.json")
    assert parity.keys() == {"float32"}
    assert not parity["float32"]["passed"]
    assert parity["float32"]["difference"] > 0.001
    assert contents(root).keys() == {"model.onnx", "bundle.json", "parity.json"}
    assert "it fails, so the gate of promotion refuses the model" in capsys.readouterr().out


def test_images_for_calibration_are_originals_of_train(exported):
    samples, params = load_samples(exported / "artifacts" / "augment"), load_params(exported)
    drawn = draw_originals(params, samples, exported / "artifacts")
    split = pd.read_parquet(exported / "artifacts" / "split" / "split.parquet")
    train = split[(split["split"] == "train") & (split["sample_id"] == split["parent_id"])]
    allowed = {image.tobytes() for image in samples.images[train.index]}
    assert len(drawn) == 16
    assert {image.tobytes() for image in drawn} <= allowed
