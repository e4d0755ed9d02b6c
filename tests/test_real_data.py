"""The real FER-2013 in every form its users have, through the stages; and whole, to a champion."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY
from test_end_to_end import copy_checkout, read_status, run

from ferrule.layouts import place_data
from pipelines import audit, augment, ingest, split, validate
from pipelines.params import load_params

pytestmark = pytest.mark.real_data

ROWS = 700  # of each usage


@pytest.fixture(scope="module")
def materialise(fer2013, tmp_path_factory):
    """Give a maker of a folder with FER-2013 in one layout, its first rows or (0) all of them."""
    made: dict[tuple, Path] = {}

    def make(layout: str, rows: int = ROWS) -> Path:
        if (layout, rows) not in made:
            folder = tmp_path_factory.mktemp(layout)
            limit = ["--rows", str(rows)] if rows else []
            command = [sys.executable, str(fer2013 / "materialise.py"), layout, str(folder), *limit]
            subprocess.run(command, check=True)
            made[layout, rows] = folder
        return made[layout, rows]

    return make


def as_it_is(folder: Path, layout: str) -> Path:
    return folder


def as_zip(folder: Path, layout: str) -> Path:
    target = folder.parent / f"{layout}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, Path("fer2013") / path.relative_to(folder))
    return target


def as_tar(folder: Path, layout: str) -> Path:
    return Path(shutil.make_archive(str(folder.parent / layout), "gztar", folder))


def as_icml_face_data(folder: Path, layout: str) -> Path:
    """Write the columns as icml_face_data.csv has them: another order, leading spaces."""
    table = pd.read_csv(folder / "fer2013.csv", dtype=str)[["emotion", "Usage", "pixels"]]
    target = folder.parent / "icml_face_data" / "icml_face_data.csv"
    target.parent.mkdir(exist_ok=True)
    table.set_axis(["emotion", " Usage", " pixels"], axis=1).to_csv(target, index=False)
    return target


SEVEN = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
THREE = ("happy", "sad", "neutral")
OFFICIAL, DRAWN = "official", "stratified"


@pytest.mark.parametrize(
    ("layout", "form", "classes", "strategy"),
    [
        ("csv", as_it_is, SEVEN, OFFICIAL),
        ("csv", as_it_is, THREE, OFFICIAL),
        ("csv", as_zip, SEVEN, OFFICIAL),
        ("csv", as_icml_face_data, SEVEN, OFFICIAL),
        ("icml", as_it_is, SEVEN, DRAWN),
        ("icml", as_tar, THREE, DRAWN),
        ("folders", as_it_is, SEVEN, OFFICIAL),
        ("folders", as_zip, THREE, OFFICIAL),
        ("images", as_it_is, SEVEN, OFFICIAL),
    ],
)
def test_every_form_goes_from_ingest_to_split(layout, form, classes, strategy, materialise, tmp_path):
    place_data(form(materialise(layout), layout), tmp_path / "data")
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["ingest"]["classes"] = list(classes)
    params["validate"] |= {"min_class_rows": 5, "max_class_share": 0.7}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for stage in (ingest, validate, audit, augment, split):
        stage.run(load_params(tmp_path), tmp_path)
    made = json.loads((tmp_path / "artifacts/split/split.json").read_text())
    table = pd.read_parquet(tmp_path / "artifacts/split/split.parquet")
    train = table[table["split"] == "train"]
    assert made["strategy"] == strategy
    assert set(train["label"]) == set(classes)
    assert train["label"].value_counts().nunique() == 1  # balanced
    assert (table["split"] == "unlabelled").sum() == (2 * ROWS if layout == "icml" else 0)
    held_out = table[table["split"].isin(["val", "test"])]
    assert not set(train["group_id"]) & set(held_out["group_id"])
    if strategy == OFFICIAL:
        assert set(table.loc[table["split"] == "test", "usage"]) == {"PrivateTest"}


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_quick_recipe_on_all_of_fer2013_ends_with_a_champion_above_its_bar(materialise, tmp_path):
    """All images in msambare's folders, from `ferrule data use` to the alias; docs/recipes.md promises the score."""
    root = copy_checkout(tmp_path / "project")
    shutil.copy(REPOSITORY / "params.yaml", root / "params.yaml")
    run(root, "ferrule", "data", "use", str(materialise("folders", rows=0)))
    printed = run(root, "ferrule", "run", "--recipe", "quick", timeout=2300)
    status = read_status(root)
    assert status["champion"]["version"] == "1", printed
    assert status["data"]["images"] == 35_887
    assert status["data"]["splits"]["test"] == 3_589
    assert status["data"]["splits"]["train"] > 50_000
    assert status["result"]["accuracy_tta"]["value"] >= 0.64
    audited = json.loads((root / "artifacts/audit/audit.json").read_text())
    assert (audited["exact_groups"], audited["test_twins_exact"], audited["label_conflicts"]) == (1516, 568, 57)
