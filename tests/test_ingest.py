"""Stage ingest: what its artifact holds, that it is the same each time, and what a person reads when it fails."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from bench.ingest import read_apart
from ferrule.emotions import EMOTIONS, FERPLUS_VOTES
from ferrule.errors import DataError
from ferrule.samples import load_samples
from pipelines import ingest
from pipelines.params import PARAMS_FILE, load_params

IMAGES = np.random.default_rng(3).integers(0, 256, (200, 48, 48), dtype=np.uint8)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project with 200 rows, one of which has too few pixels, and FER+ votes beside them."""
    rows = [
        f"{row % 7},{' '.join(map(str, image.ravel()))},{'PublicTest' if row % 5 else 'Training'}"
        for row, image in enumerate(IMAGES)
    ]
    rows[50] = "0,1 2 3,Training"
    winners = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
    votes = [
        f"{'PublicTest' if row % 5 else 'Training'},,"
        + ",".join(str(10 * (winners[row % 7] == column)) for column in FERPLUS_VOTES)
        for row in range(200)
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    (tmp_path / "data" / "fer2013new.csv").write_text(
        "\n".join([f"Usage,Image name,{','.join(FERPLUS_VOTES)}", *votes])
    )
    (tmp_path / PARAMS_FILE).write_bytes((REPOSITORY / PARAMS_FILE).read_bytes())
    return tmp_path


def run_stage(project: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "pipelines", "ingest"]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_artifact_holds_images_samples_and_rejects(project, capsys):
    ingest.run(load_params(project), project)

    folder = project / "artifacts" / "ingest"
    assert sorted(path.name for path in folder.iterdir()) == ["images.npy", "rejects.parquet", "samples.parquet"]
    samples = load_samples(folder)
    np.testing.assert_array_equal(samples.images, np.delete(IMAGES, 50, axis=0))
    types = {name: str(dtype) for name, dtype in samples.table.dtypes.items()}
    assert types == {
        "sample_id": "int64",
        "label": "str",
        "usage": "str",
        "source_file": "str",
        "source_row": "int64",
        **{f"votes_{name}": "uint8" for name in FERPLUS_VOTES},
    }
    assert samples.table["sample_id"].tolist() == list(range(199))
    assert samples.table["source_row"].tolist() == [row for row in range(1, 201) if row != 51]
    rejects = pd.read_parquet(folder / "rejects.parquet")
    assert rejects.to_dict("records") == [
        {
            "file": "fer2013.csv",
            "row": 51,
            "reason": "wrong pixel count",
            "detail": "3 pixels where 2,304 are expected",
        }
    ]
    assert capsys.readouterr().out.splitlines() == [
        "ingest: 199 images, 1 rejected (1 wrong pixel count)",
        "FER+ votes in fer2013new.csv used",
    ]


def test_the_same_data_gives_the_same_bytes_and_replaces_the_former_artifact(project, monkeypatch):
    folder = project / "artifacts" / "ingest"
    folder.mkdir(parents=True)
    (folder / "of an older version").touch()
    ingest.run(load_params(project), project)
    first = digests(folder)
    monkeypatch.setenv("FERRULE_WORKERS", "5")
    ingest.run(load_params(project), project)
    assert digests(folder) == first
    assert "of an older version" not in first


def test_no_rejects_still_make_a_typed_table(project):
    text = (project / "data" / "fer2013.csv").read_text()
    (project / "data" / "fer2013.csv").write_text(text.replace("0,1 2 3,Training\n", ""))
    (project / "data" / "fer2013new.csv").unlink()
    ingest.run(load_params(project), project)
    rejects = pd.read_parquet(project / "artifacts" / "ingest" / "rejects.parquet")
    assert list(map(str, rejects.dtypes)) == ["str", "int64", "str", "str"]
    assert rejects.empty


def test_subset_of_classes_from_params_is_told(project, capsys):
    text = (project / PARAMS_FILE).read_text()
    assert "classes: [angry, disgust, fear, happy, sad, surprise, neutral]" in text
    (project / PARAMS_FILE).write_text(
        text.replace("classes: [angry, disgust, fear, happy, sad, surprise, neutral]", "classes: [happy, sad, neutral]")
    )
    ingest.run(load_params(project), project)
    samples = load_samples(project / "artifacts" / "ingest")
    assert set(samples.table["label"]) == {"happy", "sad", "neutral"}
    assert f"{200 - len(samples)} rows of other classes left out" in capsys.readouterr().out


def test_without_data_the_way_to_get_some_is_told(project):
    params = load_params(project)
    (project / "data").rename(project / "elsewhere")
    with pytest.raises(DataError, match="ferrule data sample"):
        ingest.run(params, project)


def test_command_prints_one_sentence_and_leaves_no_half_artifact(project):
    assert run_stage(project).returncode == 0
    before = digests(project / "artifacts" / "ingest")
    text = (project / "data" / "fer2013.csv").read_text()
    (project / "data" / "fer2013.csv").write_text(text.replace(",Training", ",training set"))

    result = run_stage(project)

    assert result.returncode == 1
    assert result.stderr.startswith("ingest: Expected at most 0.02 of the rows to be unreadable; got 40 of 200: ")
    assert len(result.stderr.splitlines()) == 1
    assert digests(project / "artifacts" / "ingest") == before
    assert [path.name for path in (project / "artifacts").iterdir()] == ["ingest"]


def test_a_picture_bomb_is_refused_before_it_unfolds(project):
    """12,000 × 12,000 black pixels are 140 kB of PNG; the limit holds only if it is set before OpenCV is loaded."""
    (project / "data" / "fer2013.csv").unlink()
    for label in ("happy", "sad"):
        (project / "data" / "train" / label).mkdir(parents=True)
        for number in range(60):
            cv2.imwrite(str(project / "data" / "train" / label / f"{number}.png"), IMAGES[number])
    cv2.imwrite(str(project / "data" / "train" / "sad" / "bomb.png"), np.zeros((12_000, 12_000), np.uint8))
    assert "1 rejected (1 image too large)" in run_stage(project).stdout


def test_ingest_imports_no_tensorflow_and_no_tracking():
    code = "import sys, pipelines.ingest; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras", "mlflow", "great_expectations", "prefect"} & set(result.stdout.split())


# --- the real data ---------------------------------------------------------------------------------------------------

# Rows a class in each usage, in the order of EMOTIONS (ANCHORS.md).
COUNTS = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}


@pytest.fixture(scope="module")
def full_csv(fer2013: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "data"
    subprocess.run([sys.executable, str(fer2013 / "materialise.py"), "csv", str(folder)], check=True)
    return folder / "fer2013.csv"


@pytest.mark.real_data
@pytest.mark.slow
def test_full_csv_is_read_whole(full_csv, fer2013):
    root = full_csv.parents[1]
    ingest.run(load_params(REPOSITORY), root)
    samples = load_samples(root / "artifacts" / "ingest")
    assert len(samples) == 35_887
    counts = samples.table.groupby("usage")["label"].value_counts()
    assert {usage: tuple(counts[usage][name] for name in EMOTIONS) for usage in COUNTS} == COUNTS
    assert pd.read_parquet(root / "artifacts" / "ingest" / "rejects.parquet").empty
    pngs = pd.read_parquet(fer2013 / "fer2013.parquet", columns=["png"])["png"]
    for row in range(0, 35_887, 7):
        image = cv2.imdecode(np.frombuffer(pngs[row], np.uint8), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(samples.images[row], image), f"row {row + 1}"


@pytest.mark.real_data
@pytest.mark.slow
def test_full_csv_takes_a_quarter_of_the_plain_way_and_little_memory(full_csv):
    plain, _ = min(read_apart("pandas", full_csv) for _ in range(3))
    ferrule, megabytes = min(read_apart("ferrule", full_csv) for _ in range(3))
    assert ferrule < plain / 4
    assert megabytes < 82.7 + 64  # the images themselves, and the blocks under way
