"""Stage audit: its files, their contract, and the same bytes for the same input."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from ferrule.errors import DataError
from ferrule.samples import Samples, save_samples
from pipelines import audit
from pipelines.params import load_params

FILES = {
    "audit.json",
    "groups.parquet",
    "pairs.parquet",
    "twins.csv",
    "twins.png",
    "near_pairs.png",
    "near_groups.png",
    "conflicts.png",
    "blank.png",
}


@pytest.fixture
def project(tmp_path, make_samples) -> Path:
    """Give a project whose ingested images hold two exact copies, a near one, two blanks and ids that are no positions.

    Rows 50 (Training) and 51 are copies of row 8 (PublicTest, label fear) and of row 49 (PrivateTest); row 52 is a
    brighter row 9 (PrivateTest), in Training.
    """
    samples = make_samples(60)
    images = np.stack([cv2.GaussianBlur(image, (0, 0), 1.5) for image in samples.images])
    images[50], images[51] = images[8], images[49]
    images[52] = np.minimum(images[9], 240) + 15
    images[58:] = 0
    table = samples.table.assign(sample_id=samples.table["sample_id"] + 1000)
    table["usage"] = (
        ["Training"] * 8 + ["PublicTest", "PrivateTest"] + ["Training"] * 39 + ["PrivateTest"] + ["Training"] * 10
    )
    table["label"] = table["label"].where(~table.index.isin([50]), "happy")
    save_samples(Samples(images, table), tmp_path / "artifacts" / "ingest")
    return tmp_path


def read_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_stage_writes_what_it_found(project, capsys):
    audit.run(load_params(REPOSITORY), project)
    out = project / "artifacts" / "audit"
    assert {path.name for path in out.iterdir()} == FILES
    groups = pd.read_parquet(out / "groups.parquet")
    assert groups.dtypes.astype(str).to_dict() == {
        "sample_id": "int64",
        "exact_group": "int64",
        "group_id": "int64",
        "group_hash": "str",
        "blank": "bool",
    }
    assert groups["sample_id"].tolist() == list(range(1000, 1060))
    assert groups["exact_group"].iloc[[8, 50, 49, 51, 9, 52, 58, 59]].tolist() == [
        *(1008, 1008, 1049, 1049, 1009, 1052, 1058, 1058)
    ]
    assert groups["group_id"].iloc[[9, 52]].tolist() == [1009, 1009]
    found = json.loads((out / "audit.json").read_text())
    expected = {
        "rows": 60,
        "exact_groups": 3,
        "exact_rows": 6,
        "near_groups": 4,
        "near_rows": 8,
        "blank": 2,
        "faint": 2,
    }
    assert {key: found[key] for key in expected} == expected
    assert (found["test_twins_exact"], found["test_twins_near"]) == (2, 3)
    assert found["label_conflicts"] == 3, "rows 8 and 50, 49 and 51, and the two blank ones"
    assert sum(twins["near"] for twins in found["twins_by_class"].values()) == 3
    twins = pd.read_csv(out / "twins.csv")
    assert list(twins.columns) == ["label", "usage", "held_out", "exact", "near"]
    assert twins[["held_out", "exact", "near"]].sum().tolist() == [3, 2, 3]
    assert "2 exact, 3 near or exact" in capsys.readouterr().out


def test_the_same_input_gives_the_same_bytes(project, monkeypatch):
    params = load_params(REPOSITORY)
    monkeypatch.setenv("FERRULE_WORKERS", "1")
    audit.run(params, project)
    first = read_bytes(project / "artifacts" / "audit")
    monkeypatch.setenv("FERRULE_WORKERS", "3")
    audit.run(params, project)
    assert read_bytes(project / "artifacts" / "audit") == first


def test_a_failure_leaves_the_last_result(project):
    audit.run(load_params(REPOSITORY), project)
    before = read_bytes(project / "artifacts" / "audit")
    shutil.rmtree(project / "artifacts" / "ingest")
    with pytest.raises(DataError, match=r"images\.npy"):
        audit.run(load_params(REPOSITORY), project)
    assert read_bytes(project / "artifacts" / "audit") == before
    assert [path.name for path in (project / "artifacts").iterdir()] == ["audit"]


def test_data_without_labels_or_usages_has_no_twins(project):
    path = project / "artifacts" / "ingest" / "samples.parquet"
    table = pd.read_parquet(path)
    table[["label", "usage"]] = pd.NA
    table.astype({"label": "str", "usage": "str"}).to_parquet(path)
    audit.run(load_params(REPOSITORY), project)
    found = json.loads((project / "artifacts" / "audit" / "audit.json").read_text())
    assert (found["test_twins_near"], found["label_conflicts"], found["twins_by_class"]) == (0, 0, {})
    assert found["near_groups"] == 4
