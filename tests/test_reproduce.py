"""`ferrule reproduce`: a version made again in a clone of its own, compared, and the versions that cannot be."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from conftest import REPOSITORY
from ingested_project import read_bytes
from trained_project import copy_project, run_stages, write_trained_project

from ferrule.errors import RegistryError, WorkflowError
from ferrule.registry.versions import describe_version
from ferrule.reproduction import DIFFERENT, EQUAL, WITHIN, Made, compare_predictions, judge
from ferrule.store import open_store
from ferrule.tracking import TEST_TAG
from flows.commands.evaluating import reproduce
from flows.project import run_dvc
from flows.reproduce import RESULT_TAG, read_origin, reproduce_version

# Everything up to the network is drawn as trained_project does it; DRIFT is what a commit cannot pin.
MAKE = """
import os, sys, shutil, tempfile
from pathlib import Path
sys.path.insert(0, {tests!r})
from trained_project import write_network, write_trained_project
with tempfile.TemporaryDirectory() as place:
    write_trained_project(Path(place), network=False)
    for stage in ("augment", "split", "train", "validate"):
        shutil.copytree(Path(place, "artifacts", stage), Path("artifacts", stage), dirs_exist_ok=True)
write_network(Path("artifacts/train/model.keras"), skill=float(os.environ.get("DRIFT", "1")))
shutil.copy(Path("history.csv"), "artifacts/train/history.csv")
"""
DVC_YAML = """
stages:
  train:
    cmd: python make.py
    deps: [data]
    params: [recipe]
    outs: [artifacts/augment, artifacts/split, artifacts/train, artifacts/validate]
  evaluate:
    cmd: python -m pipelines evaluate
    deps: [artifacts/train]
    outs: [artifacts/evaluate]
  register:
    cmd: python -m pipelines register
    deps: [artifacts/evaluate]
    outs:
      - artifacts/register:
          cache: false
"""


@pytest.fixture(autouse=True)
def _own_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def git(root: Path, *command: str) -> str:
    options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *options, *command], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give a project under git and DVC with a version in its registry, whose commit has another recipe and no data."""
    root = tmp_path_factory.mktemp("made") / "project"
    root.mkdir()
    write_trained_project(root)
    shutil.copy(root / "artifacts" / "train" / "history.csv", root / "history.csv")
    shutil.rmtree(root / "artifacts" / "train")
    for name in ("augment", "split", "validate"):
        shutil.rmtree(root / "artifacts" / name)
    (root / "make.py").write_text(MAKE.format(tests=str(REPOSITORY / "tests")))
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / ".gitignore").write_text("/artifacts\n/mlruns\n/data\n/.dvc/config.local\n/.dvc/tmp\n/.dvc/cache\n")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text((REPOSITORY / ".dvc" / "config").read_text())
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    (root / "dvc.lock").unlink()
    (root / "data").mkdir()
    (root / "data" / "raw.txt").write_text("raw")
    run_dvc(root, "add", "data")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("recipe: demo", "recipe: quick"))
    run_dvc(root, "repro", "evaluate", variables={"PYTHONPATH": str(REPOSITORY)})
    run_stages(root, "reference", "export", "card", "register")
    return root


@pytest.fixture
def root(made, tmp_path):
    return copy_project(made, tmp_path / "project")


@pytest.mark.slow
def test_the_same_bytes_come_again_and_the_project_stays_as_it_is(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    before = {
        name: content for name, content in read_bytes(root).items() if not name.startswith(("mlruns", ".dvc/tmp"))
    }
    looks = f"looks/{describe_version(root, 'ferrule', '1').tags[TEST_TAG][:8]}"
    looked = describe_version(root, "ferrule", "1").metrics[looks]
    result = CliRunner().invoke(reproduce, ["1", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["verdict"]) == (0, EQUAL)
    folder = tmp_path / "project-ferrule-1"
    assert found["folder"] == str(folder)
    assert found["recorded"]["stages"] == found["again"]["stages"]
    assert found["predictions"] == {"same_class": 1.0, "largest_difference": 0.0}
    assert yaml.safe_load((folder / "params.yaml").read_text())["recipe"] == "quick"
    assert (folder / "data" / "raw.txt").read_text() == "raw"
    assert (folder / "mlruns" / "mlflow.db").is_file()
    after = {name: content for name, content in read_bytes(root).items() if not name.startswith(("mlruns", ".dvc/tmp"))}
    assert after == before
    version = describe_version(root, "ferrule", "1")
    assert version.tags[RESULT_TAG].startswith(EQUAL)
    assert version.metrics[looks] == looked + 1
    # Once more in that folder makes nothing: nothing is counted, and what came of it is told with its own environment.
    mark = folder / ".git" / "ferrule-reproduction.json"
    content = json.loads(mark.read_text())
    content["done"] |= {"date": "2020-02-20", "environment": {"processor": "another"}}
    mark.write_text(json.dumps(content))
    told = []
    again = reproduce_version(root, "1", tell=told.append)
    assert again.verdict == EQUAL
    assert any("Nothing is made: this was done on 2020-02-20" in line for line in told)
    assert describe_version(root, "ferrule", "1") == version


def test_the_commit_of_a_version_from_changed_code_is_recorded_as_the_refusal_says(root):
    def register(command):
        run_dvc(root, *shlex.split(command)[1:], variables={"PYTHONPATH": str(REPOSITORY)})
        return describe_version(root, "ferrule", "1")

    (root / "make.py").write_text((root / "make.py").read_text() + "# changed\n")
    changed = register("dvc repro --single-item --force register")
    assert changed.tags["ferrule.git_dirty"] == "true"
    with pytest.raises(RegistryError) as refusal:
        read_origin(root, changed)
    git(root, "commit", "-qam", "second")
    [command] = re.findall("`(dvc .*)`", str(refusal.value))
    assert read_origin(root, register(command)).commit == git(root, "rev-parse", "HEAD")


@pytest.mark.slow
def test_what_no_commit_pins_is_noticed_and_judged_by_the_interval(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setenv("DRIFT", "0.99")
    result = CliRunner().invoke(reproduce, ["challenger", "--into", str(tmp_path / "near")], catch_exceptions=False)
    assert result.exit_code == 0
    assert WITHIN in result.stdout
    assert "differs" in result.stdout
    monkeypatch.setenv("DRIFT", "0")
    result = CliRunner().invoke(reproduce, ["1", "--into", str(tmp_path / "far")], catch_exceptions=False)
    assert result.exit_code == 3
    assert DIFFERENT in result.stdout


def test_the_verdict_follows_data_network_and_intervals():
    def make(**changes):
        scores = {
            name: {"value": 0.7, "low": 0.68, "high": 0.72} for name in ("accuracy", "balanced_accuracy", "macro_f1")
        }
        scores |= {name: {"value": 0.9, "low": 0.8, "high": 1.0} for name in ("log_loss", "ece")}
        for name, value in changes.pop("values", {}).items():
            scores[name] = scores[name] | {"value": value}
        facts = {"data_md5": "d", "stages": None, "model_md5": "m", "test_md5": "t", "predictions": None}
        return Made(**facts | changes, scores=scores)

    assert judge(make(), make()) == EQUAL
    assert judge(make(), make(model_md5="n")) == WITHIN
    assert judge(make(), make(values={"macro_f1": 0.681})) == WITHIN
    assert judge(make(), make(values={"macro_f1": 0.679})) == DIFFERENT
    assert judge(make(), make(data_md5="e")) == DIFFERENT
    assert judge(make(), make(test_md5="u")) == DIFFERENT


def test_predictions_are_compared_image_by_image():
    then = pd.DataFrame(
        {"sample_id": [4, 5, 6], "split": ["test", "test", "val"], "predicted": ["sad", "happy", "sad"]}
        | {"probability_happy": [0.2, 0.7, 0.1], "probability_sad": [0.8, 0.3, 0.9]}
    )
    now = then.iloc[::-1].assign(predicted=["sad", "sad", "sad"], probability_happy=[0.1, 0.4, 0.2])
    made = [Made(None, None, "", None, {}, table) for table in (then, now)]
    found = compare_predictions(*made)
    assert found["same_class"] == 0.5
    assert found["largest_difference"] == pytest.approx(0.3)
    assert compare_predictions(made[0], Made(None, None, "", None, {}, None)) is None


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("ferrule.git_commit", None, "does not name both|do not name both"),
        ("ferrule.git_commit", "0" * 40, "git does not know it"),
        ("ferrule.git_dirty", "true", "changes then that no commit holds"),
        ("ferrule.pretrained", "true", "the model that ships"),
        (TEST_TAG, None, "lost them"),
    ],
)
def test_a_version_that_cannot_be_made_again_says_why(root, tag, value, words):
    client = open_store(root)
    if value is None:
        client.delete_model_version_tag("ferrule", "1", tag)
    else:
        client.set_model_version_tag("ferrule", "1", tag, value)
    with pytest.raises(RegistryError, match=words):
        read_origin(root, describe_version(root, "ferrule", "1"))


def test_a_folder_that_is_taken_or_inside_the_project_is_refused(root, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    for folder in (tmp_path / "taken", root / "inside"):
        with pytest.raises(WorkflowError, match="new or empty folder outside"):
            reproduce_version(root, "1", folder, tell=[].append)
    assert (tmp_path / "taken" / "mine.txt").read_text() == "mine"


def test_data_that_is_gone_is_said(root, tmp_path):
    shutil.rmtree(root / ".dvc" / "cache")
    with pytest.raises(WorkflowError, match="neither DVC's cache nor a remote has it"):
        reproduce_version(root, "1", tmp_path / "again", tell=[].append)
