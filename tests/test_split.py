"""The stage split: row by row with augment, summed up in split.json, and loud where the lineage is broken."""

import json

import pandas as pd
import pytest
from ingested_project import BLANK, TWINS, read_bytes, read_real_samples, write_ingested_project

from ferrule.errors import LineageError
from ferrule.splits import check_lineage
from pipelines import augment, split
from pipelines.params import load_params


def run(root):
    augment.run(load_params(root), root)
    split.run(load_params(root), root)
    return pd.read_parquet(root / "artifacts" / "split" / "split.parquet")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("split")
    write_ingested_project(root)
    run(root)
    return root


def test_the_table_is_row_by_row_with_augment(project):
    table = pd.read_parquet(project / "artifacts" / "split" / "split.parquet")
    augmented = pd.read_parquet(project / "artifacts" / "augment" / "samples.parquet")
    assert table.columns.tolist() == ["sample_id", "parent_id", "group_id", "label", "usage", "split"]
    pd.testing.assert_frame_equal(table.drop(columns="split"), augmented[table.columns[:-1]])


def test_the_official_marks_decide_and_twins_and_blanks_go(project):
    table = pd.read_parquet(project / "artifacts" / "split" / "split.parquet").set_index("sample_id")
    originals = table[table["parent_id"] == table.index]
    wanted = {"Training": "train", "PublicTest": "val", "PrivateTest": "test", "Unlabelled": "unlabelled"}
    expected = originals["usage"].map(wanted)
    expected[[BLANK, *TWINS]] = "dropped"
    assert originals["split"].tolist() == expected.tolist()
    assert set(table.loc[table["parent_id"] != table.index, "split"]) == {"train"}


def test_the_summary_adds_up(project):
    table = pd.read_parquet(project / "artifacts" / "split" / "split.parquet")
    summary = json.loads((project / "artifacts" / "split" / "split.json").read_text())
    assert (summary["strategy"], summary["twins"], summary["twins_kept"]) == ("official", "drop", {})
    assert summary["dropped"] == {
        "blank": {"fear": 1},
        "twin of test": {"sad": 1},
        "twin of val": {"fear": 1, "happy": 1},
    }
    counts = [
        rows for part in ("original", "generated", "dropped") for by in summary[part].values() for rows in by.values()
    ]
    assert sum(counts) == len(table)


def test_the_bytes_are_the_same_each_time(project):
    first = read_bytes(project / "artifacts" / "split")
    split.run(load_params(project), project)
    assert read_bytes(project / "artifacts" / "split") == first


@pytest.mark.parametrize("strategy", ["auto", "official", "stratified"])
@pytest.mark.parametrize("twins", ["drop", "keep"])
def test_every_strategy_gives_a_sound_and_balanced_train(tmp_path, strategy, twins):
    write_ingested_project(tmp_path, split={"strategy": strategy, "twins": twins})
    table = run(tmp_path)
    assert table.loc[table["split"] == "train", "label"].value_counts().nunique() == 1
    kept = json.loads((tmp_path / "artifacts" / "split" / "split.json").read_text())["twins_kept"]
    assert bool(kept) == (twins == "keep" and strategy != "stratified")


def test_a_stratified_split_ignores_the_marks(tmp_path):
    write_ingested_project(tmp_path, split={"strategy": "stratified"})
    table = run(tmp_path)
    originals = table[(table["parent_id"] == table["sample_id"]) & table["label"].notna()]
    shares = pd.crosstab(originals["label"], originals["split"])
    assert shares["test"].tolist() == [14, 12, 8]  # a fifth of 69, 60 and 40
    assert shares["val"].tolist() == [6, 5, 3]  # a tenth of the rest
    assert originals.loc[originals["split"] == "test", "usage"].nunique() == 3


def test_a_broken_lineage_stops_the_stage_and_writes_nothing(project, tmp_path):
    write_ingested_project(tmp_path)
    augment.run(load_params(tmp_path), tmp_path)
    path = tmp_path / "artifacts" / "augment" / "samples.parquet"
    table = pd.read_parquet(path)
    table.loc[table.index[-1], "parent_id"] = 160  # a test image
    table.to_parquet(path, index=False)
    with pytest.raises(LineageError, match="1 are generated but stand outside train"):
        split.run(load_params(tmp_path), tmp_path)
    assert not (tmp_path / "artifacts" / "split").exists()


@pytest.mark.real_data
def test_the_real_data_is_balanced_without_a_leak(fer2013, tmp_path):
    write_ingested_project(tmp_path, read_real_samples(fer2013))
    table = run(tmp_path)
    check_lineage(table, twins="drop")
    counts = table["split"].value_counts()
    originals = table[table["parent_id"] == table["sample_id"]]
    assert len(originals) == 35887
    assert counts["train"] > 50_000
    assert counts["test"] == 3589
    train = table[table["split"] == "train"]
    largest = originals[originals["split"] == "train"]["label"].value_counts().max()
    assert set(train["label"].value_counts()) == {round(1.1 * largest)}
    assert not set(train["group_id"]) & set(table.loc[table["split"].isin(["val", "test"]), "group_id"])
    # Every training image with an exact copy in test is gone, and more: near copies go too.
    dropped = originals[(originals["split"] == "dropped") & (originals["usage"] == "Training")]
    assert 600 < len(dropped) < 2500
