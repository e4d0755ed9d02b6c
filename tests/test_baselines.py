"""The classical baselines: what they learn from, what they are chosen on, what the table says."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from bench.baselines import (
    HEAD,
    Method,
    choose,
    describe_gradients,
    flatten,
    list_methods,
    main,
    measure,
    read_splits,
)
from ferrule.errors import DataError
from ferrule.samples import Samples, save_samples

CLASSES = ("disgust", "happy", "neutral")
PLAN = {"train": 90, "generated": 40, "dropped": 5, "val": 30, "test": 30, "unlabelled": 3}


def write_project(root, plan=PLAN):
    """Write what augment and split write: classes are stripes across, down or slanting; what may not be used lies."""
    part = np.repeat(list(plan), list(plan.values()))
    rng, ids = np.random.default_rng(0), np.arange(len(part)) % 3
    x, y = np.meshgrid(np.arange(48), np.arange(48))
    phase = rng.random(len(part)) * 6
    waves = [np.sin(np.stack([x, y, (x + y) / 1.4])[i] / 2 + shift) for i, shift in zip(ids, phase, strict=True)]
    images = 128 + 60 * np.stack(waves) + rng.normal(0, 20, (len(part), 48, 48))
    lies = np.isin(part, ["generated", "dropped"])
    table = pd.DataFrame({"sample_id": np.arange(len(part)), "label": np.array(CLASSES)[np.where(lies, 0, ids)]})
    table.loc[part == "unlabelled", "label"] = None
    table["parent_id"] = np.where(part == "generated", 0, table["sample_id"])
    save_samples(
        Samples(images.clip(0, 255).astype(np.uint8), table.assign(usage="Training")), root / "artifacts" / "augment"
    )
    (root / "artifacts" / "split").mkdir()
    split = table.assign(split=np.where(part == "generated", "train", part))
    split.to_parquet(root / "artifacts" / "split" / "split.parquet")
    return split


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    return folder


@pytest.fixture(scope="module")
def splits(root):
    return read_splits(root)[0]


def quick_methods():
    gradients = FunctionTransformer(describe_gradients, kw_args={"cell": 16})
    return {
        "majority class": list_methods(3)["majority class"],
        "HOG": Method({"": gradients}, {"shrunk": LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)}),
    }


def test_only_the_originals_of_train_are_learned_from(root):
    splits, classes = read_splits(root)
    assert classes == CLASSES
    assert {name: len(rows.labels) for name, rows in splits.items()} == {"train": 90, "val": 30, "test": 30}
    assert np.bincount(splits["train"].labels).tolist() == [30, 30, 30]
    assert splits["train"].images.shape == (90, 48, 48)


def test_rows_of_two_runs_are_refused(tmp_path):
    split = write_project(tmp_path)
    path = tmp_path / "artifacts" / "split" / "split.parquet"
    split.assign(sample_id=split["sample_id"] + 1).to_parquet(path)
    with pytest.raises(DataError, match="row by row"):
        read_splits(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"split\.parquet.*not there; run"):
        read_splits(tmp_path)


def test_without_validation_images_nothing_is_chosen(tmp_path):
    write_project(tmp_path, PLAN | {"val": 0})
    with pytest.raises(DataError, match="labelled val images"):
        read_splits(tmp_path)


def test_gradients_have_a_direction_and_no_contrast():
    x = np.arange(48)
    ramp = np.broadcast_to(5 * x, (48, 48)).astype(np.uint8)  # brighter to the right: direction 0
    right, down = (describe_gradients(image[None], bins=4).reshape(4, 4, 5, 5) for image in (ramp, ramp.T))
    assert (right[:, 0] > 0.4).all()
    assert np.allclose(right[:, 1:], 0)
    assert np.allclose(down[:, 1], right[:, 0].transpose(0, 2, 1)[[0, 2, 1, 3]], atol=1e-5)  # blocks are turned too
    leftwards = describe_gradients(ramp[None, :, ::-1], bins=4).reshape(4, 4, 5, 5)
    assert (leftwards[:, 2] > 0.4).all(), "the full circle: dark to bright is not bright to dark"
    rng = np.random.default_rng(0)
    face = rng.integers(0, 100, (1, 48, 48), dtype=np.uint8)
    np.testing.assert_allclose(describe_gradients(face), describe_gradients(2 * face + 40), atol=0.01)
    assert not describe_gradients(np.full((1, 48, 48), 90, np.uint8)).any()


def test_an_image_is_described_the_same_in_any_company(splits):
    images = np.tile(splits["train"].images, (4, 1, 1))  # more than a chunk
    np.testing.assert_allclose(describe_gradients(images)[-1:], describe_gradients(images[-1:]), atol=1e-6)
    assert describe_gradients(images).shape == (360, 5 * 5 * 4 * 18)


def test_the_table_tells_what_each_method_reaches(splits):
    lines = measure(splits, CLASSES, quick_methods()).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == list(HEAD)
    assert [row[:2] for row in rows[2:]] == [
        [name, part] for name in ("majority class", "HOG (shrunk)") for part in ("test", "validation")
    ]
    assert all(len(row) == len(HEAD) for row in rows)
    assert rows[2][2:4] == ["**33.3%** (19.2-51.2)", rows[3][3]]
    accuracy, low, high = map(float, re.fullmatch(r"\*\*(.*)%\*\* \((.*)-(.*)\)", rows[4][2]).groups())
    assert low <= accuracy <= high
    assert accuracy > 90, "stripes are easy for gradients"
    assert re.fullmatch(r"\d+\.\d s", rows[4][5])
    assert re.fullmatch(r"[\d,]+ images/s", rows[4][6])


def test_settings_are_chosen_on_validation_images(splits):
    pixels = FunctionTransformer(flatten)
    guesses = {f"always {name}": DummyClassifier(strategy="constant", constant=i) for i, name in enumerate(CLASSES)}
    val = splits["val"]
    only_neutral = type(val)(val.images[val.labels == 2], val.labels[val.labels == 2])
    chosen = choose("guess", Method({"": pixels}, guesses), splits["train"], only_neutral)
    assert chosen.name == "guess (always neutral)"
    blind = make_pipeline(FunctionTransformer(lambda images: flatten(images) * 0), "passthrough")
    seeing = FunctionTransformer(describe_gradients, kw_args={"cell": 16})
    method = Method({"blind": blind, "seeing": seeing}, {"": LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)})
    assert choose("stripes", method, splits["train"], val).name == "stripes (seeing)"


def test_all_methods_of_the_table_can_be_fitted(splits):
    for name, method in list_methods(3).items():
        vectors = next(iter(method.features.values())).fit_transform(splits["train"].images)[:, :200]
        for classifier in method.classifiers.values():
            fitted = classifier.fit(vectors, splits["train"].labels)
            assert fitted.predict_proba(vectors[:2]).shape == (2, 3), name


def test_a_class_that_is_not_there_has_no_score(splits):
    names = ("angry", "happy", "neutral")
    line = measure(splits, names, {"majority class": list_methods(3)["majority class"]}).splitlines()[2]
    assert line.split("|")[5].strip() == ""


def test_missing_marks_are_told_before_minutes_are_spent(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["baselines", "--root", str(tmp_path / "absent"), "--write", str(tmp_path / "no")])
    assert main() == 1
    assert "Expected the lines" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["baselines", "--root", str(tmp_path / "absent")])
    assert main() == 1
    assert "images.npy" in capsys.readouterr().err
