"""The stage augment: the originals untouched, children only of training rows, the classes balanced, the same bytes."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from ingested_project import BLANK, TWINS, draw_samples, read_bytes, write_ingested_project

from ferrule.errors import DataError, ParameterError, ValidationError
from ferrule.samples import load_samples
from pipelines import augment
from pipelines.params import load_params

FILES = {"images.npy", "samples.parquet", "balance.json", "balance.csv", "parents_and_children.png"}


def run(root):
    augment.run(load_params(root), root)
    return root / "artifacts" / "augment"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("augmented")
    write_ingested_project(root)
    run(root)
    return root


def test_originals_come_first_and_unchanged(project):
    samples, originals = load_samples(project / "artifacts" / "augment"), draw_samples()
    n = len(originals)
    assert np.array_equal(samples.images[:n], originals.images)
    pd.testing.assert_frame_equal(samples.table.loc[: n - 1, originals.table.columns], originals.table)
    assert (samples.table["parent_id"] == samples.table["sample_id"]).tolist() == [True] * n + [False] * (
        len(samples) - n
    )
    assert samples.table["sample_id"].tolist() == list(range(len(samples)))


def test_children_descend_from_training_rows_and_inherit_from_them(project):
    samples = load_samples(project / "artifacts" / "augment")
    table = samples.table.set_index("sample_id", drop=False)
    children = table[table["sample_id"] != table["parent_id"]]
    parents = table.loc[children["parent_id"]]
    for column in ("label", "usage", "group_id", "source_file", "source_row"):
        assert children[column].tolist() == parents[column].tolist()
    assert set(parents["usage"]) == {"Training"}
    assert not {BLANK, *TWINS} & set(parents["sample_id"])
    assert (samples.images[children["sample_id"]] != samples.images[children["parent_id"]]).any(axis=(1, 2)).all()


def test_the_classes_of_train_are_balanced_and_counted(project):
    folder = project / "artifacts" / "augment"
    balance = pd.read_csv(folder / "balance.csv")
    assert balance.to_dict("list") == {
        "label": ["fear", "happy", "sad"],
        "before": [58, 49, 29],  # of 60, 50, 30: three twins and a blank image are dropped
        "generated": [6, 15, 35],
        "after": [64, 64, 64],
    }
    assert json.loads((folder / "balance.json").read_text()) == balance.to_dict("records")


def test_the_sheet_is_a_picture(project):
    sheet = cv2.imread(str(project / "artifacts" / "augment" / "parents_and_children.png"))
    assert sheet.shape[0] > 3 * 96
    assert sheet.std() > 20


def test_the_bytes_do_not_depend_on_the_number_of_workers(project, monkeypatch):
    first = read_bytes(project / "artifacts" / "augment")
    assert set(first) == FILES
    for workers in ("1", "3"):
        monkeypatch.setenv("FERRULE_WORKERS", workers)
        assert read_bytes(run(project)) == first


def test_two_classes_and_a_target_of_one(tmp_path):
    samples = draw_samples()
    write_ingested_project(
        tmp_path, samples.select(samples.table["label"].isin(["happy", "sad"]).to_numpy()), augment={"target": 1.0}
    )
    assert pd.read_csv(run(tmp_path) / "balance.csv")["after"].tolist() == [49, 49]


def test_nothing_to_generate_is_no_error(tmp_path):
    samples = draw_samples()
    training = {*range(20), *range(60, 80)} - {BLANK, *TWINS, 61}  # 18 of each
    held_out = set(samples.table.index[samples.table["label"].isin(["fear", "happy"])]) - set(range(140))
    write_ingested_project(tmp_path, samples.select(np.array(sorted(training | held_out))), augment={"target": 1.0})
    folder = run(tmp_path)
    assert pd.read_csv(folder / "balance.csv")["generated"].tolist() == [0, 0]
    assert set(read_bytes(folder)) == FILES


@pytest.mark.parametrize(
    ("case", "error", "sentence"),
    [
        ("the audit of other data", DataError, "run the audit stage again"),
        ("distortions of nothing", ParameterError, "give the augment section"),
    ],
)
def test_a_failure_is_one_sentence_and_leaves_nothing_half_written(tmp_path, case, error, sentence):
    nothing = dict.fromkeys(["flip", "rotation", "shift", "zoom", "brightness", "contrast", "erasing"], 0.0)
    write_ingested_project(tmp_path, augment=nothing if error is ParameterError else {})
    if error is DataError:
        path = tmp_path / "artifacts" / "audit" / "groups.parquet"
        pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(error, match=sentence):
        run(tmp_path)
    assert sorted(path.name for path in (tmp_path / "artifacts").iterdir()) == ["audit", "ingest", "validate"]


@pytest.mark.parametrize("result", ['{"success": false}', None], ids=["failed", "missing"])
def test_nothing_is_made_of_data_that_did_not_pass(result, tmp_path):
    write_ingested_project(tmp_path)
    path = tmp_path / "artifacts" / "validate" / "result.json"
    path.write_text(result) if result else path.unlink()
    with pytest.raises(ValidationError, match="passed validation"):
        run(tmp_path)
    assert not (tmp_path / "artifacts" / "augment").exists()
