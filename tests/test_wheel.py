"""The wheel alone, in an empty environment: what is in it, what comes with it, and that it predicts."""

import json
import os
import re
import subprocess
import sys
import time
import venv
import zipfile
from pathlib import Path

import cv2
import pytest
from conftest import REPOSITORY

from ferrule.faces.examples import example_photos

pytestmark = pytest.mark.slow

MAX_MEGABYTES = 500
FIRST = 10.0  # seconds; docs/predict.md has what a quiet machine takes
ABSENT = (
    "tensorflow",
    "keras",
    "prefect",
    "dvc",
    "mlflow",
    "great_expectations",
    "pyarrow",
    "scipy",
    "flows",
    "pipelines",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(REPOSITORY),
    ]
    subprocess.run(command, check=True, timeout=300)
    [path] = folder.glob("ferrule-*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Give the programs of a fresh environment with the wheel and what it depends on, in the versions of the lock."""
    folder = tmp_path_factory.mktemp("alone") / "env"
    venv.create(folder, with_pip=True)
    lock = REPOSITORY / "requirements.lock"
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--constraint", lock, wheel]
    subprocess.run(command, check=True, timeout=540)
    return folder / "bin"


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """Give a drawn photo of three people."""
    path = tmp_path_factory.mktemp("photos") / "friends.png"
    cv2.imwrite(str(path), dict(example_photos())["friends"][..., ::-1])
    return path


def run(*command, folder):
    """Run a program where nothing of the checkout is found."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW", "FERRULE"))}
    done = subprocess.run([*map(str, command)], cwd=folder, env=clean, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def test_it_holds_the_library_with_its_model_and_page_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert all(re.match(r"ferrule/|ferrule-[^/]+\.dist-info/", name) for name in names)
    for needed in ("pretrained/bundle.json", "pretrained/model.onnx.gz", "web/page/index.html", "cli.py"):
        assert f"ferrule/{needed}" in names
    kept = [path for path in (REPOSITORY / "ferrule").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(REPOSITORY).as_posix() for path in kept} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".keras"))]


def test_it_comes_without_the_workflow_and_is_small(environment):
    site = next(environment.parent.glob("lib/python*/site-packages"))
    there = {path.name.partition("-")[0].lower() for path in site.iterdir()}
    assert not there & set(ABSENT)
    megabytes = sum(path.lstat().st_size for path in site.rglob("*") if path.is_file()) / 1e6
    assert megabytes <= MAX_MEGABYTES, f"{megabytes:.0f} MB"


def test_it_predicts_from_the_command_line(environment, photo, tmp_path):
    run(environment / "python", "-c", "import cv2, onnxruntime", folder=tmp_path)  # compiles them, as an installer may
    start = time.monotonic()
    done = run(environment / "ferrule", "predict", photo, "--json", folder=tmp_path)
    taken = time.monotonic() - start
    faces = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(faces) == 3
    assert all(sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-4) for face in faces)
    assert "the model that ships with Ferrule" in done.stderr
    assert taken < FIRST, f"{taken:.1f} s"


def test_it_draws_and_explains(environment, photo, tmp_path):
    run(environment / "ferrule", "predict", photo, "--annotate", "boxes.png", "--explain", "maps.png", folder=tmp_path)
    assert (tmp_path / "boxes.png").is_file()
    assert (tmp_path / "maps.png").is_file()


def test_it_predicts_from_python(environment, photo, tmp_path):
    code = f"from ferrule import Predictor; print([face.label for face in Predictor().predict({str(photo)!r})])"
    assert len(json.loads(run(environment / "python", "-c", code, folder=tmp_path).stdout.replace("'", '"'))) == 3


def test_its_commands_are_those_that_use_a_model(environment, tmp_path):
    told = run(environment / "ferrule", "--help", folder=tmp_path).stdout
    commands = told.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in commands if line.startswith("  ") and line[2] != " "] == ["predict", "serve"]
    assert Path(environment / "ferrule").is_file()


def test_a_parquet_says_what_it_needs(environment, tmp_path):
    (tmp_path / "faces.parquet").write_bytes(b"PAR1")
    done = subprocess.run(
        [environment / "ferrule", "predict", "faces.parquet"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "pip install pyarrow" in done.stderr
