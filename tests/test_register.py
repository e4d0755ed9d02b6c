"""The stage register: version.json, lineage on run and version, and a store that was emptied behind its back."""

import json
import shutil
import subprocess

import pytest
import yaml
from trained_project import CLASSES, copy_project, run_stages, write_network, write_trained_project

from ferrule.promotion.evidence import read_candidate
from ferrule.registry.versions import CHALLENGER, describe_version
from ferrule.store import open_store
from ferrule.tracking import FLOW_TAG, FLOW_VARIABLE, digest_file, read_stages
from pipelines.lineage import digest_lock, read_entries, read_lineage


@pytest.fixture(autouse=True)
def _own_store(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", FLOW_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluated")
    write_trained_project(root)
    run_stages(root, "evaluate", "export", "reference", "card")
    return root


@pytest.fixture
def root(evaluated, tmp_path):
    return copy_project(evaluated, tmp_path / "checkout")


def run(root):
    run_stages(root, "register")
    return json.loads((root / "artifacts" / "register" / "version.json").read_text())


def test_it_registers_the_challenger_with_lineage_and_scores(root, monkeypatch, capsys):
    monkeypatch.setenv(FLOW_VARIABLE, "flow-7")
    model_md5 = digest_file(root / "artifacts" / "train" / "model.keras")
    assert run(root) == {"name": "ferrule", "version": "1", "model_md5": model_md5}
    assert "ferrule version 1 is the challenger" in capsys.readouterr().out
    version = describe_version(root, "ferrule", CHALLENGER)
    metrics = json.loads((root / "artifacts" / "evaluate" / "metrics.json").read_text())
    expected = {
        "ferrule.model_md5": model_md5,
        "ferrule.data_md5": "0123456789abcdef0123456789abcdef.dir",
        "ferrule.dvc_lock": digest_lock(root),
        "ferrule.validated": "true",
        "ferrule.recipe": "demo",
        "ferrule.classes": "angry,happy,neutral",
        FLOW_TAG: "flow-7",
        "test_accuracy": str(metrics["test"]["accuracy"]["value"]),
    }
    client = open_store(root)
    tags_of_run = client.get_run(version.run_id).data.tags
    for name, value in expected.items():
        assert version.tags[name] == tags_of_run[name] == value
    assert "ferrule.git_commit" not in version.tags  # there is no .git
    assert read_stages(root, version.run_id) == read_entries(root)
    assert len(client.get_metric_history(version.run_id, "test_accuracy")) == 1  # evaluate has logged it already
    assert len(client.get_run(version.run_id).outputs.model_outputs) == 1
    candidate = read_candidate(root, version)
    assert candidate.accuracy == metrics["test"]["accuracy"]["value"]
    assert list(candidate.recalls) == list(CLASSES)
    assert len(candidate.predictions) == 100


def test_the_same_bytes_are_registered_once_and_going_back_finds_them(root):
    first = run(root)
    assert run(root) == first
    network = root / "artifacts" / "train" / "model.keras"
    write_network(network, skill=0.5)
    run_stages(root)
    assert run(root)["version"] == "2"
    write_network(network)
    run_stages(root)
    assert run(root) == first
    assert describe_version(root, "ferrule", CHALLENGER).version == "1"


def test_a_store_that_was_emptied_gets_scores_and_predictions_again(root):
    shutil.rmtree(root / "mlruns")
    version = run(root)["version"]
    candidate = read_candidate(root, describe_version(root, "ferrule", version))
    assert candidate.accuracy > 0.5
    assert candidate.predictions is not None
    assert len(candidate.seen) == 70


@pytest.mark.parametrize("success", [True, False])
def test_the_result_of_validation_goes_with_the_version(root, success):
    (root / "artifacts" / "validate" / "result.json").write_text(json.dumps({"success": success}))
    version = describe_version(root, "ferrule", run(root)["version"])
    assert read_candidate(root, version).validated is success


def test_the_lock_is_digested_without_what_comes_after(tmp_path):
    def write(**stages):
        (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
        return digest_lock(tmp_path)

    assert digest_lock(tmp_path) is None
    digest = write(ingest={"md5": "a"}, train={"md5": "b"})
    assert write(train={"md5": "b"}, ingest={"md5": "a"}) == digest  # in whatever order stages finished
    assert write(ingest={"md5": "a"}, train={"md5": "b"}, register={"md5": "c"}, reference={}) == digest
    assert write(ingest={"md5": "a"}, train={"md5": "c"}) != digest


def test_lineage_names_the_commit_and_whether_the_code_differs(tmp_path):
    def git(*command):
        options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *options, *command], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert read_lineage(tmp_path) == {}
    git("init", "-q")
    assert read_lineage(tmp_path) == {}  # nothing committed
    for name in ("code.py", "dvc.lock"):
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 0123.dir\n  path: data\n")
    (tmp_path / "params.yaml").write_text("recipe: demo\nseed: 1\n")
    git("add", ".")
    git("commit", "-qm", "first")
    clean = {
        "ferrule.data_md5": "0123.dir",
        "ferrule.recipe": "demo",
        "ferrule.git_commit": git("rev-parse", "HEAD"),
        "ferrule.git_dirty": "false",
    }
    assert read_lineage(tmp_path) == clean
    (tmp_path / "dvc.lock").write_text("stages: {}\n")  # a run changes it; it has a tag of its own
    (tmp_path / "note.txt").write_text("untracked")
    assert read_lineage(tmp_path) == clean
    for content, dirty in (
        ("recipe: quick\nseed: 1\n", "false"),  # `ferrule run --recipe` writes it, and it has a tag of its own
        ("recipe: demo\nseed: 2\n", "true"),
        ("recipe: demo\nseed: 1\n", "false"),
    ):
        (tmp_path / "params.yaml").write_text(content)
        recipe = content.split()[1]
        assert read_lineage(tmp_path) == {**clean, "ferrule.git_dirty": dirty, "ferrule.recipe": recipe}
    (tmp_path / "code.py").write_text("changed\n")
    assert read_lineage(tmp_path) == {**clean, "ferrule.git_dirty": "true"}
    unpacked = tmp_path / "archive"  # a copy without .git inside somebody else's checkout
    unpacked.mkdir()
    assert read_lineage(unpacked) == {}
