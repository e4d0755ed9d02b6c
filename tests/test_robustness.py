"""Corruptions, what a model keeps under them, slices that are weak beyond chance, and the stage of all that."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY
from sklearn.metrics import f1_score
from trained_project import CLASSES, copy_project, run_stages, write_trained_project

from bench import robustness as bench
from ferrule.charts.robustness import corruption_chart, slice_chart
from ferrule.errors import DataError
from ferrule.metrics import LEVEL
from ferrule.robustness.corruptions import CORRUPTIONS, SEVERITIES, brighten, occlude, rotate, shift
from ferrule.robustness.slices import WORST, describe_images, find_weak, find_worst, score_slices
from ferrule.robustness.withstanding import predict_corrupted, summarize_corruptions, tabulate_corruptions
from ferrule.samples import Samples, load_samples
from ferrule.synthetic import paint_portraits
from pipelines.params import load_params
from pipelines.robustness import withstand


@pytest.fixture(scope="module")
def faces():
    return paint_portraits(np.arange(40) % 7, 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Give a project after the stage, with slices of 10 images and more."""
    root = tmp_path_factory.mktemp("finished")
    write_trained_project(root)
    change(root, min_slice=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run_stages(root, "evaluate", "export", "robustness")
    return root


def change(root, **values):
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["robustness"] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def read(root, path):
    return json.loads((root / "artifacts" / path).read_text())


def contents(root):
    return {path.name: path.read_bytes() for path in (root / "artifacts" / "robustness").iterdir()}


def read_brightness(images):
    """Answer with class 2 for bright images, 1 for middle ones and 0 for dark ones."""
    return np.eye(3)[np.digitize(images.mean(axis=(1, 2)), (90, 150))]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_higher_severity_changes_more(name, faces):
    before = faces.copy()
    changed = [CORRUPTIONS[name].apply(faces, severity, np.random.default_rng(3)) for severity in (0, *SEVERITIES)]
    assert all(images.dtype == np.uint8 and images.shape == faces.shape for images in changed)
    far = [np.abs(images.astype(float) - faces).mean() for images in changed]
    assert far[0] == 0
    assert far == sorted(set(far))
    again = CORRUPTIONS[name].apply(faces, 5, np.random.default_rng(3))
    np.testing.assert_array_equal(again, changed[5])
    np.testing.assert_array_equal(faces, before)


def test_the_amounts_are_what_they_say():
    grey = np.full((3, 48, 48), 100, np.uint8)
    assert brighten(grey, np.array([0.5, 1.0, 9.0]))[:, 0, 0].tolist() == [50, 100, 255]
    covered = (occlude(grey, 12.0, np.random.default_rng(0)) != 100).reshape(3, 48, 48)
    for square in covered:
        rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
        assert square.sum() == 144
        assert np.ptp(rows) == np.ptp(columns) == 11
    dot = np.zeros((20, 48, 48), np.uint8)
    dot[:, 23:25, 23:25] = 255
    moved = shift(dot, 6.0, np.random.default_rng(0)).astype(float)
    weights = moved / moved.sum(axis=(1, 2), keepdims=True)
    centres = np.stack([(weights.sum(axis=axis) * np.arange(48)).sum(axis=1) for axis in (1, 2)], axis=1)
    assert np.hypot(*(centres - 23.5).T) == pytest.approx(np.full(20, 6.0), abs=0.1)
    assert np.ptp(centres, axis=0).min() > 6, "each in a direction of its own"
    stripe = np.zeros((2, 48, 48), np.uint8)
    stripe[:, 20:28] = 255
    upright = rotate(stripe, np.array([90.0, 0.0]))
    np.testing.assert_array_equal(upright, [stripe[0].T, stripe[1]])


def test_every_image_is_asked_under_every_corruption_whatever_stands_around_it():
    images = np.random.default_rng(0).integers(0, 256, (1030, 1, 1), dtype=np.uint8).repeat(48, 1).repeat(48, 2)
    predicted = predict_corrupted(read_brightness, images, seed=1)
    assert predicted.shape == (len(CORRUPTIONS), 6, 1030)
    alone = read_brightness(images).argmax(axis=1)
    kinds = dict(zip(CORRUPTIONS, predicted, strict=True))
    for same in ("blur", "rotation", "shift"):  # which leave an image of one grey level as it is
        np.testing.assert_array_equal(kinds[same], np.broadcast_to(alone, (6, 1030)))
    assert (kinds["brightness"][5] != alone).mean() > 0.2
    fewer = predict_corrupted(read_brightness, images[:1025], seed=1)
    np.testing.assert_array_equal(fewer[..., :1024], predicted[..., :1024])


def test_the_table_and_the_summary_count_the_same_answers():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    predicted = np.where(rng.random((8, 6, 400)) < 0.3, rng.integers(0, 3, (8, 6, 400)), labels)
    predicted[:, 0] = predicted[0, 0]
    table = tabulate_corruptions(labels, predicted, CLASSES)
    assert len(table) == 48
    row = table.query("corruption == 'jpeg' and severity == 4").iloc[0]
    told = predicted[list(CORRUPTIONS).index("jpeg"), 4]
    assert row["accuracy"] == pytest.approx((told == labels).mean())
    assert row["low"] < row["accuracy"] < row["high"]
    assert row["macro_f1"] == pytest.approx(f1_score(labels, told, average="macro"), abs=1e-6)
    assert row["amount"] == "quality 10"
    summary = summarize_corruptions(labels, predicted)
    corrupted = table[table["severity"] > 0]
    means = corrupted.groupby("corruption")["accuracy"].mean()
    assert {name: each["value"] for name, each in summary["by_corruption"].items()} == pytest.approx(means.to_dict())
    assert summary["mean_corrupted"]["value"] == pytest.approx(corrupted["accuracy"].mean())
    assert summary["relative"]["value"] == pytest.approx(
        summary["mean_corrupted"]["value"] / summary["clean"]["value"], abs=1e-5
    )


def test_the_interval_of_what_is_kept_holds_the_truth_as_often_as_it_says():
    """Of 0.7 right as they are 0.6 stay right under every corruption, of the rest none: 60 % are kept."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        right = rng.random(200) < 0.7
        kept = right & (rng.random(200) < 0.6)
        predicted = np.broadcast_to(np.where(kept, 0, 1), (8, 6, 200)).copy()
        predicted[:, 0] = np.where(right, 0, 1)
        found = summarize_corruptions(np.zeros(200, int), predicted)["relative"]
        held += found["low"] <= 0.6 <= found["high"]
    assert 0.91 <= held / 300 <= 0.99


def test_a_model_that_is_never_right_keeps_nothing():
    summary = summarize_corruptions(np.zeros(5, int), np.ones((8, 6, 5), int))
    assert summary["relative"] == {"value": 0.0, "low": 0.0, "high": 1.0}


def test_without_images_it_says_so():
    with pytest.raises(DataError, match="validation images"):
        tabulate_corruptions(np.zeros(0, int), np.zeros((8, 6, 0), int), CLASSES)


def describe(rng, n):
    """Return three kinds of slices, drawn for `n` images."""
    kinds = {"class": CLASSES, "brightness": ("dark", "bright"), "ferplus": ("agree", "disagree")}
    return pd.DataFrame({kind: pd.Categorical(rng.choice(names, n), names) for kind, names in kinds.items()})


def test_a_planted_weakness_is_found_and_its_parts_do_not_fill_the_list():
    rng = np.random.default_rng(0)
    described = describe(rng, 3000)
    planted = described["class"].eq("happy") & described["brightness"].eq("dark")
    chance = np.where(described["class"] == "angry", 0.5, np.where(planted, 0.4, 0.8))
    right = rng.random(3000) < chance
    table = score_slices(right, described, min_slice=30)
    assert set(table["kind"]) == {"class", "brightness", "ferplus", "class × brightness"}
    weak = {(row["kind"], row["slice"]) for row in find_worst(table) if row["beyond_chance"]}
    assert {("class × brightness", "happy, dark"), ("class", "angry")} <= weak
    assert not {name for kind, name in weak if kind == "class × brightness"} - {"happy, dark"}
    found = table.set_index(["kind", "slice"]).loc[("class × brightness", "happy, dark")]
    rest = described["class"].eq("happy") & ~planted
    assert found["rows"] == planted.sum()
    assert found["accuracy"] == pytest.approx(right[planted].mean(), abs=1e-6)
    assert found["gap"] == pytest.approx(right[planted].mean() - right[rest].mean(), abs=1e-6)
    worst = find_worst(table)
    assert len(worst) <= WORST
    order = [(not row["beyond_chance"], row["accuracy"]) for row in worst]
    assert order == sorted(order)


def test_small_slices_that_are_low_by_chance_push_no_weak_one_out_of_the_list():
    row = {"kind": "class", "slice": "angry", "rows": 900, "accuracy": 0.6, "low": 0.55, "high": 0.65}
    small = [row | {"slice": f"small {n}", "accuracy": 0.4, "gap": -0.3, "p_value": 1.0} for n in range(WORST)]
    worst = find_worst(pd.DataFrame([*small, row | {"gap": -0.2, "p_value": 0.001}]))
    assert [each["slice"] for each in worst] == ["angry", *(f"small {n}" for n in range(WORST - 1))]
    assert [each["beyond_chance"] for each in worst] == [True] + [False] * (WORST - 1)


def test_where_nothing_is_weak_chance_is_rarely_taken_for_weakness():
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(60):
        table = score_slices(rng.random(500) < 0.7, describe(rng, 500), min_slice=30)
        alarms += find_weak(table).any()
    assert alarms / 60 <= 2 * (1 - LEVEL)


def test_small_slices_and_whole_ones_are_left_out():
    described = pd.DataFrame({"class": ["angry"] * 29 + ["happy"] * 31, "copy": "no copy"})
    table = score_slices(np.ones(60, bool), described, min_slice=30)
    assert table["slice"].tolist() == ["happy"]
    assert score_slices(np.ones(60, bool), described, min_slice=40).empty
    assert find_worst(table) == []


def test_images_are_described_by_looks_copies_and_voters():
    images = np.random.default_rng(0).integers(0, 2, (6, 48, 48)).astype(np.uint8)
    images += np.array([10, 10, 50, 50, 200, 200], np.uint8)[:, None, None]
    test = pd.DataFrame({"sample_id": range(6), "label": "happy", "leak_free": [False, False, True, True, True, True]})
    split = pd.DataFrame({"parent_id": range(9), "split": ["test"] * 6 + ["train", "dropped", "unlabelled"]})
    groups = pd.DataFrame({"sample_id": range(9), "exact_group": [0, 1, 2, 3, 4, 5, 6, 0, 2]})
    votes = pd.DataFrame(0, index=range(6), columns=[f"votes_{name}" for name in ("happiness", "neutral")])
    every = ("surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
    votes = votes.assign(**{f"votes_{name}": 0 for name in every})
    votes.loc[0, "votes_happiness"], votes.loc[1, "votes_neutral"], votes.loc[2, "votes_contempt"] = 10, 10, 10
    found = describe_images(test, images, votes, CLASSES, split=split, groups=groups)
    assert [name.split()[0] for name in found["brightness"]] == [*["darkest"] * 2, *["middle"] * 2, *["brightest"] * 2]
    assert found["copy"].tolist() == ["exact copy", "near copy", *["no copy"] * 4]
    unclear = "no majority for a class"
    assert found["ferplus"].tolist() == ["most see the label", "most see another class", *[unclear] * 4]
    assert "ferplus" not in describe_images(test, images, test, CLASSES, split=split, groups=groups)


def test_the_stage_writes_what_the_export_keeps(finished):
    assert contents(finished).keys() == {
        *("robustness.json", "corruptions.csv", "slices.csv"),
        *("corruptions.png", "severities.png", "slices.png"),
    }
    summary, metrics = read(finished, "robustness/robustness.json"), read(finished, "evaluate/metrics.json")
    assert summary["clean"] == metrics["val"]["accuracy"]
    assert summary["rows"] == 40
    kept = summary["by_corruption"]
    assert kept["blur"]["value"] > summary["clean"]["value"] - 0.1, "the network reads the brightness alone"
    assert kept["brightness"]["value"] < kept["blur"]["value"]
    slices = pd.read_csv(finished / "artifacts" / "robustness" / "slices.csv")
    assert summary["slices"] == len(slices)
    assert slices["rows"].min() >= 10
    assert {"class", "brightness", "contrast", "sharpness", "copy", "ferplus"} >= set(slices["kind"][:9])
    recall = slices.set_index(["kind", "slice"]).loc[("class", "happy")]
    expected = metrics["test"]["classes"]["happy"]["recall"]
    assert recall[["accuracy", "low", "high"]].to_dict() == pytest.approx(
        {"accuracy": expected["value"], "low": expected["low"], "high": expected["high"]}
    )


def test_the_same_inputs_give_the_same_bytes(finished, tmp_path):
    root = copy_project(finished, tmp_path / "copy")
    before = contents(root)
    run_stages(root, "robustness")
    assert contents(root) == before


def test_no_test_image_is_asked_and_fewer_validation_images_may_be(finished, tmp_path):
    root = copy_project(finished, tmp_path / "copy")
    artifacts = root / "artifacts"
    predictions = pd.read_parquet(artifacts / "evaluate" / "predictions.parquet")
    samples = load_samples(artifacts / "augment")
    blanked = samples.images.copy()
    blanked[predictions.query("split == 'test'")["sample_id"]] = 0
    arguments = Samples(blanked, samples.table), predictions, artifacts / "export"
    summary, corruptions, _ = withstand(load_params(root), *arguments)
    pd.testing.assert_frame_equal(corruptions, pd.read_csv(artifacts / "robustness" / "corruptions.csv"))
    change(root, images=25)
    fewer, _, _ = withstand(load_params(root), *arguments)
    assert (summary["rows"], fewer["rows"]) == (40, 25)


def test_it_needs_neither_tensorflow_nor_mlflow():
    script = "import sys, pipelines.robustness; sys.exit(bool({'tensorflow', 'keras', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, timeout=60).returncode == 0


def test_the_chart_has_a_panel_a_corruption_and_a_line_a_slice(finished):
    folder = finished / "artifacts" / "robustness"
    figure = corruption_chart(pd.read_csv(folder / "corruptions.csv"), "")
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(CORRUPTIONS)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["–", "0.5", "0.75", "1", "1.5", "2"]
    assert figure.axes[0].get_xlabel() == "σ px"
    table = pd.read_csv(folder / "slices.csv")
    (axes,) = slice_chart(table, 0.7, "").axes
    singles = table[~table["kind"].str.startswith("class ×")]["slice"].tolist()
    assert [label.get_text() for label in axes.get_yticklabels()][: len(singles)] == singles
    (axes,) = slice_chart(table.iloc[:0], 0.7, "").axes
    assert not axes.get_yticklabels()


def test_the_tables_of_the_document_are_the_stages(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["robustness", "--root", str(finished)])
    assert bench.main() == 0
    told, summary = capsys.readouterr().out, read(finished, "robustness/robustness.json")
    for name in CORRUPTIONS:
        assert f"| {name} | " in told
    assert f"{100 * summary['mean_corrupted']['value']:.1f} %" in told
    monkeypatch.setattr(sys, "argv", ["robustness", "--root", str(tmp_path)])
    assert bench.main() == 1
    assert "dvc repro robustness" in capsys.readouterr().err
