"""Stage explore: its pictures and tables, for much and for little data, and the same bytes for the same input."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from ferrule.samples import save_samples
from pipelines import explore
from pipelines.params import load_params

PICTURES = {"label_distribution.png", "random_images.png", "mean_faces.png", "brightness_contrast.png"}
TABLES = {"label_distribution.csv", "brightness.csv"}


def run(root: Path, samples) -> dict[str, bytes]:
    """Run the stage over `samples` in `root`; return its files."""
    save_samples(samples, root / "artifacts" / "ingest")
    explore.run(load_params(REPOSITORY), root)
    return {path.name: path.read_bytes() for path in (root / "artifacts" / "explore").iterdir()}


def test_the_stage_draws_the_data(tmp_path, make_samples, capsys):
    files = run(tmp_path, make_samples(70))
    assert set(files) == PICTURES | TABLES
    for name in PICTURES:
        picture = cv2.imdecode(np.frombuffer(files[name], np.uint8), cv2.IMREAD_COLOR)
        assert min(picture.shape[:2]) > 200
        assert picture.std() > 5
    labels = pd.read_csv(tmp_path / "artifacts" / "explore" / "label_distribution.csv")
    assert list(labels.columns) == ["label", "usage", "count"]
    assert labels["count"].sum() == 70
    brightness = pd.read_csv(tmp_path / "artifacts" / "explore" / "brightness.csv")
    assert list(brightness.columns) == ["brightness", "count"]
    assert brightness.loc[brightness["brightness"].between(120, 136), "count"].sum() == 70, "noise has a mean of 127.5"
    assert "70 images of 7 classes" in capsys.readouterr().out


def test_the_same_input_gives_the_same_bytes(tmp_path, make_samples):
    assert run(tmp_path / "one", make_samples(30)) == run(tmp_path / "two", make_samples(30))


@pytest.mark.parametrize("count", [1, 2, 9])
def test_little_data_is_drawn_too(tmp_path, make_samples, count):
    assert set(run(tmp_path, make_samples(count))) == PICTURES | TABLES


def test_a_subset_of_classes_without_usages(tmp_path, make_samples):
    samples = make_samples(42)
    samples = samples.select(samples.table["label"].isin(["happy", "sad"]).to_numpy())
    samples.table["usage"] = pd.array([None] * len(samples), dtype="str")
    run(tmp_path, samples)
    labels = pd.read_csv(tmp_path / "artifacts" / "explore" / "label_distribution.csv")
    assert labels["label"].tolist() == ["happy", "sad"]
    assert labels["usage"].tolist() == ["no usage", "no usage"]
