"""The whole thing as a person runs it: a copy of the checkout without git, the embedded sample, the command line."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ANYTHING, REPOSITORY

from flows.results import LINE_HEAD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # `make demo` is the same at full size

CHECKOUT = (
    "ferrule",
    "pipelines",
    "flows",
    ".dvc/config",
    ".dvcignore",
    "dvc.yaml",
    "data.dvc",
    "params.yaml",
    "prefect.toml",
)

# So little training that a run takes a minute; the gate lets the result through.
QUICK = {
    "noise": {"folds": 2, "epochs": 1, "epoch_images": 600},
    "train": {"epochs": 1, "epoch_images": 1500, "sizes": [48], "peak_rate": 0.04},
    "evaluate": {"bootstrap": 200},
    "robustness": {"images": 50},
    "promotion": {**ANYTHING, "max_slowdown": 99.0},
}
AFTER_TRAIN = ["evaluate", "export", "reference", "robustness", "card", "register", "report"]
STAGES = ["ingest", "validate", "audit", "explore", "augment", "split", "noise", "train", *AFTER_TRAIN]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """Give a project on which `ferrule data sample` and `ferrule run` were run once."""
    root = copy_checkout(tmp_path_factory.mktemp("end-to-end") / "project")
    run(root, "ferrule", "data", "sample")
    (root / "first.log").write_text(run(root, "ferrule", "run"))
    return root


def copy_checkout(root: Path) -> Path:
    for name in CHECKOUT:
        source, target = REPOSITORY / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    change_params(root, QUICK)
    return root


def change_params(root, changes):
    params = yaml.safe_load((root / "params.yaml").read_text())
    for section, values in changes.items():
        params[section].update(values)
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def run(root, program, *arguments, status=0, timeout=560) -> str:
    """Run a program of this environment in `root`, on the copy's own code, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [str(Path(sys.executable).parent / program), *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def read_status(root):
    printed = run(root, "ferrule", "status", "--json")
    return json.loads(printed[printed.index("{") :])


def read_outcomes(printed):
    """Return what the table at the end of `ferrule run` says of each stage."""
    lines = [line.split() for line in printed.splitlines()]
    return {words[0]: words[-1] for words in lines if words and words[0] in STAGES and words[-1] in OUTCOMES}


OUTCOMES = ("ran", "restored", "unchanged")


def read_lock(root, *, without=("register", "report")):
    stages = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    return {
        name: [(out["path"], out["md5"]) for out in stage["outs"]]
        for name, stage in stages.items()
        if name not in without
    }


def test_a_run_ends_with_a_champion_and_says_what_was_made(project):
    printed = (project / "first.log").read_text()
    for words in ("images in", "3,528", "rejected", "near-duplicate groups", "generated", "train / val / test", "95 %"):
        assert words in printed
    assert read_outcomes(printed) == dict.fromkeys(STAGES, "ran")
    status = read_status(project)
    assert status["champion"]["version"] == status["challenger"]["version"] == "1"
    assert set(status["stages"].values()) == {"current"}
    assert status["data"]["images"] == 3528
    assert status["result"]["near_groups"] == 162


def test_every_artifact_of_the_contract_is_there(project):
    """docs/artifacts.md names each file; each stands where it says."""
    documented = (REPOSITORY / "docs" / "artifacts.md").read_text()
    found = sorted(str(path.relative_to(project)) for path in (project / "artifacts").rglob("*") if path.is_file())
    kept = [path for path in found if not path.startswith("artifacts/.train-checkpoints/")]
    assert [path for path in kept if path.removeprefix("artifacts/") not in documented] == []
    metrics = json.loads((project / "artifacts/evaluate/metrics.json").read_text())
    for block in ("test", "test_tta", "test_leak_free", "val"):
        accuracy = metrics[block]["accuracy"]
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]


def test_the_champion_has_a_bundle_and_a_card_that_say_what_it_is(project):
    """The embedded sample is drawn, and its card says so."""
    bundle = json.loads((project / "artifacts/export/bundle.json").read_text())
    assert all(found["passed"] for found in bundle["parity"].values())
    (stored,) = (project / "mlruns/artifacts").glob("*/artifacts/bundle/*/model_card.md")
    text = stored.read_text()
    assert "**Drawn faces.**" in text
    assert bundle["model_md5"] in text
    assert (stored.parent / "bundle.json").read_bytes() == (project / "artifacts/export/bundle.json").read_bytes()


def test_a_second_run_runs_nothing(project):
    printed = run(project, "ferrule", "run")
    assert read_outcomes(printed) == dict.fromkeys(STAGES, "unchanged")
    assert "champion already" in " ".join(printed.split())
    assert "up to date" in run(project, "dvc", "repro")


def test_results_can_be_a_row_of_the_table_of_recipes(project):
    row = run(project, "ferrule", "results", "--line").strip()
    cells = dict(zip(LINE_HEAD, [cell.strip() for cell in row.strip("|").split("|")], strict=True))
    assert (cells["recipe"], cells["seed"], cells["twins"]) == ("`demo`", "2013", "drop")
    assert float(cells["training, minutes"]) > 0
    accuracy = read_status(project)["result"]["accuracy_tta"]
    assert cells["PrivateTest"].startswith(f"**{accuracy['value']:.1%}**")
    (mean,) = run(project, "ferrule", "results", "--seeds").splitlines()[2:]
    assert (mean.count("|"), mean.count("±"), f"| {accuracy['value']:.1%} |" in mean) == (10, 0, True)


def test_dvc_shows_metrics_and_plots(project):
    assert "test_tta.macro_f1" in run(project, "dvc", "metrics", "show")
    assert "dvc_plots" in run(project, "dvc", "plots", "show")
    page = (project / "dvc_plots" / "index.html").read_text()
    for title in ("Labels by usage", "Loss by epoch", "Confusion matrix of the test images"):
        assert title in page


def test_an_emptied_store_is_filled_again(project, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy, symlinks=True, ignore=shutil.ignore_patterns("mlruns"))
    printed = run(copy, "ferrule", "run")
    assert {stage for stage, outcome in read_outcomes(printed).items() if outcome == "ran"} == {"register"}
    assert read_status(copy)["champion"]["version"] == "1"


def test_changing_train_reruns_train_and_after_and_going_back_restores(project):
    before = read_status(project)["champion"]
    change_params(project, {"train": {"peak_rate": 0.03}})
    after_train = {"train", *AFTER_TRAIN}
    printed = run(project, "ferrule", "run")
    assert {stage for stage, outcome in read_outcomes(printed).items() if outcome == "ran"} == after_train
    assert read_status(project)["champion"]["version"] == "2"
    change_params(project, {"train": {"peak_rate": 0.04}})
    outcomes = read_outcomes(run(project, "ferrule", "run"))
    assert {stage for stage, outcome in outcomes.items() if outcome == "restored"} == after_train - {
        "register",
        "report",
    }
    assert outcomes["register"] == outcomes["report"] == "ran"
    now = read_status(project)
    assert now["challenger"] == now["champion"] == before


def test_dvc_alone_gives_the_same_hashes(project, tmp_path):
    root = copy_checkout(tmp_path / "project")
    (root / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    shutil.copytree(project / "data", root / "data")
    run(root, "dvc", "repro")
    assert read_lock(root) == read_lock(project)


def test_a_subset_of_the_classes_goes_through_to_the_registered_model(tmp_path):
    root = copy_checkout(tmp_path / "project")
    change_params(root, {"ingest": {"classes": ["happy", "sad", "neutral"]}, "register": {"model_name": "three"}})
    run(root, "ferrule", "data", "sample")
    run(root, "ferrule", "run")
    champion = read_status(root)["champion"]
    assert champion["name"] == "three"
    code = (
        "import numpy, pathlib; from ferrule.registry.versions import load_version;"
        "model = load_version(pathlib.Path.cwd(), 'three');"
        "print(sorted(model.predict(numpy.zeros((1, 48, 48), numpy.uint8)).columns))"
    )
    assert "'probability_happy', 'probability_neutral', 'probability_sad'" in run(root, "python", "-c", code)


def test_bad_data_stops_the_flow_and_names_the_stage(tmp_path):
    root = copy_checkout(tmp_path / "project")
    change_params(root, {"validate": {"max_class_share": 0.01}})
    run(root, "ferrule", "data", "sample")
    printed = run(root, "ferrule", "run", status=1)
    assert "Stage validate failed" in printed
    assert "Traceback" not in printed
    assert (root / "artifacts/validate/result.json").is_file()
    assert not (root / "artifacts/augment").exists()
    assert (root / "artifacts/audit/audit.json").is_file()  # what does not depend on it still finished


def test_the_interfaces_start_answer_and_stop(project):
    printed = run(project, "ferrule", "ui", "--check", "--mlflow-port", "5055", "--prefect-port", "4255")
    assert "http://127.0.0.1:5055" in printed
    assert "http://127.0.0.1:4255" in printed
    for port in (5055, 4255):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"something still listens on {port}"
