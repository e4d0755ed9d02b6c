"""The stage noise: planted wrong labels are found, copies stay together, and FER+ votes measure without deciding."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
import yaml
from conftest import REPOSITORY
from ingested_project import write_ingested_project
from noisy_project import CLASSES, NOISE, write_noisy_project

from ferrule.backends import backend_name
from ferrule.emotions import FERPLUS_VOTES
from ferrule.errors import DataError, ParameterError
from ferrule.metrics import ferplus_majority
from ferrule.noise.confident import judge_labels, rank_suspects
from ferrule.noise.ferplus import PRECISION_AT, measure_suspicion, roc_area
from ferrule.noise.out_of_fold import TRAINING, assign_folds
from ferrule.samples import Samples
from ferrule.synthetic import draw_sample
from pipelines import augment, noise, split
from pipelines.params import load_params
from pipelines.training_data import read_data

FILES = {"out_of_fold.parquet", "suspects.csv", "suspects.png", "noise.json"}


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Give a project on which the stage was run, and the truth about its labels."""
    root = tmp_path_factory.mktemp("noise")
    truth = write_noisy_project(root)
    noise.run(load_params(root), root)
    return root, truth


def read_table(root) -> pd.DataFrame:
    return pd.read_parquet(root / "artifacts" / "noise" / "out_of_fold.parquet")


def read_split(root) -> pd.DataFrame:
    return pd.read_parquet(root / "artifacts" / "split" / "split.parquet")


def test_planted_wrong_labels_are_found_and_the_right_ones_suggested(noisy):
    root, truth = noisy
    table = read_table(root).set_index("sample_id")
    wrong = table.index.isin(truth.wrong)
    assert sklearn.metrics.roc_auc_score(wrong, -table["label_quality"]) > 0.95
    found = table[wrong & table["suspected"]]
    assert len(found) >= 0.8 * len(truth.wrong)
    assert (found["suggested"] == truth.labels[found.index]).all()
    assert (table["suspected"] & ~wrong).sum() <= 0.05 * len(table)


def test_each_original_of_train_is_asked_about_once_and_nothing_else(noisy):
    root, _ = noisy
    table, splits = read_table(root), read_split(root)
    originals = splits[(splits["split"] == "train") & (splits["parent_id"] == splits["sample_id"])]
    assert table["sample_id"].tolist() == originals["sample_id"].tolist()
    assert table["label"].tolist() == originals["label"].tolist()
    assert table[[f"p_{name}" for name in CLASSES]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    assert sorted(table["fold"].unique()) == list(range(NOISE["folds"]))


def test_no_group_of_copies_is_split_over_folds(noisy):
    root, _ = noisy
    table = read_table(root)
    groups = read_split(root).set_index("sample_id").loc[table["sample_id"], "group_id"].to_numpy()
    assert len(set(groups)) < len(groups)
    assert table["fold"].groupby(groups).nunique().max() == 1


@pytest.mark.parametrize("seed", range(5))
def test_folds_keep_groups_together_and_classes_apart_evenly(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 150, 300)
    labels = rng.choice(3, 300, p=[0.7, 0.25, 0.05])
    folds = assign_folds(labels, groups, 3, seed=seed)
    assert pd.Series(folds).groupby(groups).nunique().max() == 1
    counts = pd.crosstab(folds, labels)
    assert counts.shape == (3, 3)
    assert (counts.max() - counts.min() <= 6).all()
    assert (assign_folds(labels, groups, 3, seed=seed) == folds).all()


def test_a_class_in_fewer_groups_than_folds_is_refused():
    labels, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 3, 3, 4])
    with pytest.raises(DataError, match=r"got 2 of one; lower noise\.folds"):
        assign_folds(labels, groups, 3, seed=0)


def test_the_list_is_the_table_ranked(noisy):
    root, truth = noisy
    table = read_table(root).set_index("sample_id")
    listed = pd.read_csv(root / "artifacts" / "noise" / "suspects.csv", keep_default_na=False)
    assert listed.columns.tolist() == noise.COLUMNS
    assert listed["rank"].tolist() == list(range(1, len(listed) + 1))
    assert len(listed) == min(NOISE["suspects"], table["suspected"].sum())
    rows = table.loc[listed["sample_id"]]
    assert rows["suspected"].all()
    assert rows["label_quality"].is_monotonic_increasing
    assert listed["source_row"].tolist() == (listed["sample_id"] - 999).tolist()
    for column, named in (("probability_label", "label"), ("probability_suggested", "suggested")):
        said = [rows.at[sample, f"p_{name}"] for sample, name in zip(rows.index, rows[named], strict=True)]
        assert listed[column].tolist() == pytest.approx(said, abs=1e-4)
    assert listed["ferplus_majority"].tolist() == truth.labels[listed["sample_id"]].tolist()


def test_the_summary_counts_what_stands_in_the_table(noisy):
    root, _ = noisy
    table = read_table(root)
    summary = json.loads((root / "artifacts" / "noise" / "noise.json").read_text())
    assert {path.name for path in (root / "artifacts" / "noise").iterdir()} == FILES
    assert not (root / "artifacts" / ".noise-checkpoints").exists()
    assert (summary["folds"], summary["rows"]) == (NOISE["folds"], len(table))
    assert summary["suspected"] == table["suspected"].sum() == sum(pair["rows"] for pair in summary["pairs"])
    assert summary["accuracy"]["value"] == pytest.approx((table["label"] == table["suggested"]).mean(), abs=1e-6)
    for name, counts in summary["classes"].items():
        of_class = table[table["label"] == name]
        assert counts == {"rows": len(of_class), "suspected": of_class["suspected"].sum()}
    assert all(pair["label"] != pair["suggested"] for pair in summary["pairs"])


def test_the_votes_measure_the_suspicion(noisy):
    root, truth = noisy
    table = read_table(root)
    measured = json.loads((root / "artifacts" / "noise" / "noise.json").read_text())["ferplus"]
    wrong = table["sample_id"].isin(truth.wrong).to_numpy()
    assert measured["rows"] == len(table)
    assert measured["disagree"]["value"] == pytest.approx(wrong.mean(), abs=1e-6)
    assert measured["auc"]["value"] == pytest.approx(
        sklearn.metrics.roc_auc_score(wrong, -table["label_quality"]), abs=1e-6
    )
    assert measured["precision_at"] == min(len(table), PRECISION_AT) > NOISE["suspects"]
    first = rank_suspects(table).head(PRECISION_AT)
    assert measured["precision"]["value"] == pytest.approx(first["sample_id"].isin(truth.wrong).mean(), abs=1e-6)
    assert measured["without_majority"]["value"] == 0
    assert measured["suspected"]["value"] == pytest.approx(wrong[table["suspected"]].mean(), abs=1e-6)


@pytest.mark.slow
def test_most_wrong_labels_of_the_embedded_sample_are_found(tmp_path):
    """With the parameters of the project: docs/labels.md says what is asserted here."""
    samples = draw_sample()
    table = samples.table.assign(source_file="fer2013.csv", source_row=samples.table["sample_id"] + 1)
    write_ingested_project(tmp_path, Samples(samples.images, table))
    for stage in (augment, split, noise):
        stage.run(load_params(tmp_path), tmp_path)
    table = read_table(tmp_path)
    drawn = pd.read_parquet(tmp_path / "artifacts" / "augment" / "samples.parquet").set_index("sample_id")
    drawn = drawn.loc[table["sample_id"]]
    wrong = ((drawn["expression"] != drawn["label"]) | (drawn["fault"] == "conflict")).to_numpy()
    assert sklearn.metrics.roc_auc_score(wrong, -table["label_quality"]) > 0.9
    assert table["suspected"][wrong].mean() > 0.6
    first = rank_suspects(table.assign(wrong=wrong)).head(50)
    assert first["wrong"].mean() > 0.6
    assert wrong[table["suspected"]].mean() < 0.5


def test_without_votes_the_same_labels_are_suspected(noisy, tmp_path, capsys):
    """The votes decide nothing; and the same input gives the same bytes."""
    root, _ = noisy
    write_noisy_project(tmp_path, votes=False)
    noise.run(load_params(tmp_path), tmp_path)
    first, second = (folder / "artifacts" / "noise" for folder in (root, tmp_path))
    for name in ("out_of_fold.parquet", "suspects.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert json.loads((second / "noise.json").read_text())["ferplus"] is None
    assert "ferplus_majority" not in pd.read_csv(second / "suspects.csv")
    assert "FER+" not in capsys.readouterr().out


def test_no_folds_turn_it_off(tmp_path, capsys):
    write_noisy_project(tmp_path, noise={"folds": 0})
    noise.run(load_params(tmp_path), tmp_path)
    out = tmp_path / "artifacts" / "noise"
    assert {path.name for path in out.iterdir()} == FILES
    assert read_table(tmp_path)["suspected"].dtype.kind == "b"
    assert len(read_table(tmp_path)) == len(pd.read_csv(out / "suspects.csv")) == 0
    summary = json.loads((out / "noise.json").read_text())
    assert (summary["folds"], summary["rows"], summary["accuracy"], summary["ferplus"]) == (0, 0, None, None)
    assert summary["skipped"] == "noise.folds is 0"
    assert "no label was looked at" in capsys.readouterr().out


def test_a_class_of_too_few_images_stops_no_run_but_one_on_cleaned_labels(tmp_path, capsys):
    write_noisy_project(tmp_path)
    path = tmp_path / "artifacts" / "augment" / "samples.parquet"
    table = pd.read_parquet(path)
    table.loc[table["label"] == "angry", "group_id"] = 1000  # all one group
    table.to_parquet(path, index=False)
    noise.run(load_params(tmp_path), tmp_path)
    out = tmp_path / "artifacts" / "noise"
    assert {file.name for file in out.iterdir()} == FILES
    assert len(read_table(tmp_path)) == len(pd.read_csv(out / "suspects.csv")) == 0
    summary = json.loads((out / "noise.json").read_text())
    assert "2 training images of each class at least, copies counted once; got 1 of one" in summary["skipped"]
    assert summary["skipped"] in capsys.readouterr().out
    read_data(tmp_path, CLASSES, "given")
    with pytest.raises(ParameterError, match="not above the images of the rarest class"):
        read_data(tmp_path, CLASSES, "cleaned")


def test_another_backend_than_that_of_the_parameters_is_refused(tmp_path):
    write_noisy_project(tmp_path)
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["train"]["backend"] = "jax" if backend_name() == "torch" else "torch"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(ParameterError, match=r"Expected Keras on train\.backend"):
        noise.run(load_params(tmp_path), tmp_path)


def test_the_networks_are_trained_as_the_recipe_demo_says():
    """Apart from what the section `noise` says. Where `demo` changes, decide whether the suspicion is to change too."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    demo = params["train"] | params["recipes"]["demo"]
    own = {"backend", "epochs", "epoch_images", "batch_size", "sizes"}
    assert {name: value for name, value in demo.items() if name not in own} == TRAINING


def test_a_failure_leaves_the_last_result(noisy, tmp_path):
    root = shutil.copytree(noisy[0], tmp_path / "project")
    read_split(root).replace({"split": {"val": "test"}}).to_parquet(root / "artifacts/split/split.parquet", index=False)
    before = {file.name: file.read_bytes() for file in (root / "artifacts" / "noise").iterdir()}
    with pytest.raises(DataError, match="Expected validation images"):
        noise.run(load_params(root), root)
    assert {file.name: file.read_bytes() for file in (root / "artifacts" / "noise").iterdir()} == before


def test_what_is_surely_another_class_is_suspected_and_nothing_else():
    labels = np.repeat([0, 1, 2], 20)
    probabilities = np.where(np.eye(3)[labels] > 0, 0.8, 0.1)
    probabilities[5] = [0.05, 0.9, 0.05]
    probabilities[45] = [0.9, 0.05, 0.05]
    judged = judge_labels(labels, probabilities, CLASSES)
    assert judged.index[judged["suspected"]].tolist() == [5, 45]
    assert judged.loc[[5, 45], "suggested"].tolist() == ["happy", "angry"]
    assert judged["label_quality"].tolist() == pytest.approx(probabilities[np.arange(60), labels].tolist())


@pytest.mark.parametrize("levels", [2, 5, 1000], ids=lambda levels: f"{levels} levels")
def test_the_area_is_that_of_scikit_learn_and_its_interval_that_of_a_bootstrap(levels):
    rng = np.random.default_rng(levels)
    positive = rng.random(400) < 0.3
    scores = rng.integers(0, levels, 400) + 0.4 * levels * positive
    area = roc_area(scores, positive)
    assert area.value == pytest.approx(sklearn.metrics.roc_auc_score(positive, scores))
    drawn = [rng.integers(0, 400, 400) for _ in range(1000)]
    areas = [roc_area(scores[rows], positive[rows]).value for rows in drawn]
    assert (area.low, area.high) == pytest.approx(tuple(np.quantile(areas, [0.025, 0.975])), abs=0.012)


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["anger"] * 4, None),
        (["happiness", "anger", "anger", "anger"], 4),
        (["happiness", "contempt", "NF", "anger"], 2),
    ],
    ids=["all agree", "one differs", "only rows with a majority for a class count"],
)
def test_what_counts_against_the_votes(names, rows):
    votes = pd.DataFrame(0, index=range(4), columns=[f"votes_{name}" for name in FERPLUS_VOTES])
    for row, name in enumerate(names):
        votes.loc[row, f"votes_{name}"] = 10
    table = pd.DataFrame({"sample_id": range(4), "label": "angry", "label_quality": [0.1, 0.5, 0.6, 0.7]})
    found = measure_suspicion(
        table.assign(suspected=[True, False, False, False]), ferplus_majority(votes, CLASSES), CLASSES, at=1
    )
    assert (found and found["rows"]) == rows
    if found:
        assert found["auc"]["value"] == found["precision"]["value"] == found["suspected"]["value"] == 1


def test_the_share_without_a_majority_is_of_the_list_and_the_precision_of_those_that_have_one():
    table = pd.DataFrame({"sample_id": range(5), "label": "angry", "label_quality": [0.1, 0.2, 0.3, 0.4, 0.5]})
    table["suspected"] = table["label_quality"] < 0.35
    majority = np.array([-1, 1, -1, 1, 0])
    found = measure_suspicion(table, majority, CLASSES, at=2)
    assert (found["precision_at"], found["precision"]["rows"], found["precision"]["value"]) == (2, 2, 1)
    assert (found["without_majority"]["rows"], found["without_majority"]["value"]) == (2, 0.5)
    assert (found["suspected"]["rows"], found["suspected"]["value"]) == (1, 1)
