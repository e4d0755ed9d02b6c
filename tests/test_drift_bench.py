"""The benchmark of drift: changes that are what they are called, and errors that are one sentence."""

import sys

import numpy as np
import pytest

from bench import drift
from bench.corruptions import CORRUPTIONS, FOREIGN, film
from ferrule.samples import save_samples
from ferrule.synthetic import paint_portraits


@pytest.fixture(scope="module")
def faces():
    return paint_portraits(np.arange(40) % 7, 1)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_stronger_change_changes_more(kind, faces):
    change, severities = CORRUPTIONS[kind]
    changed = [change(faces, amount) for amount in severities.values()]
    assert all(images.dtype == np.uint8 and images.shape == faces.shape for images in changed)
    far = [np.abs(images.astype(float) - faces).mean() for images in changed]
    assert 0 < far[0] < far[1] < far[2]


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "drawn faces")) for kind in FOREIGN]
)
def test_foreign_images_are_images(kind):
    images = FOREIGN[kind](7, np.random.default_rng(0))
    assert (images.shape, images.dtype) == ((7, 48, 48), np.uint8)


def test_frames_of_a_face_stand_together(faces):
    frames = film(faces[:3], 4, np.random.default_rng(0)).reshape(3, 4, -1).astype(float)
    within = np.abs(frames - frames[:, :1]).mean()
    between = np.abs(frames[0] - frames[1]).mean()
    assert within < between / 2


def test_a_mixed_window_has_the_share_it_says():
    draw = drift._mixing(0.2, np.empty((100, 0)), np.empty((10, 0)), np.random.default_rng(0))
    rows = draw(100)
    assert (len(rows), (rows >= 100).sum()) == (100, 20)
    assert len(set(rows[rows < 100])) == 80


@pytest.mark.parametrize("stage", [False, True])
def test_without_the_data_it_says_what_to_do(stage, make_samples, tmp_path, monkeypatch, capsys):
    if stage:
        samples = make_samples(20)
        samples.table["usage"] = "Training"
        save_samples(samples, tmp_path / "artifacts" / "ingest")
    monkeypatch.setattr(sys, "argv", ["drift", "--root", str(tmp_path)])
    assert drift.main() == 1
    assert ("run ingest" if stage else "dvc repro") in capsys.readouterr().err


def test_a_document_without_marks_is_told_before_minutes_are_spent(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["drift", "--write", str(tmp_path / "page.md")])
    assert drift.main() == 1
    assert "Expected the lines" in capsys.readouterr().err
