"""What `ferrule status` and `ferrule results` say: each stage's state, and only counts that are of this data."""

import json
import os
import subprocess
import sys
import time

import pytest
from conftest import CHAIN, REPOSITORY

from ferrule.errors import WorkflowError
from flows.project import run_dvc
from flows.results import BEGIN, END, results_table, write_results
from flows.status import Summary, read_stage_states, read_status, read_summary


def test_a_stage_is_missing_current_changed_or_behind_one_of_these(toy_project):
    root = toy_project(CHAIN)
    assert read_stage_states(root) == {"ingest": "missing", "split": "missing"}
    run_dvc(root, "repro")
    assert read_stage_states(root) == {"ingest": "current", "split": "current"}
    (root / "data" / "raw.txt").write_text("other")
    assert read_stage_states(root) == {"ingest": "changed", "split": "behind"}


def test_counts_of_other_data_are_not_told(toy_project):
    root = toy_project(CHAIN)
    run_dvc(root, "repro")
    assert read_status(root).data["splits"] == {}
    (root / "data" / "raw.txt").write_text("other")
    assert read_status(root).data["images"] is None
    assert not (root / "mlruns").exists()  # asking makes no store


def test_before_anything_has_run_the_summary_is_empty(tmp_path):
    assert read_summary(tmp_path) == Summary(None, None, None, None, None)
    assert read_summary(tmp_path).rows() == []


def test_while_dvc_runs_a_stage_status_says_which(toy_project):
    root = toy_project(CHAIN.replace("cp data/raw.txt", "touch started && sleep 20 && cp data/raw.txt"))
    command = [sys.executable, "-m", "dvc", "repro"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, start_new_session=True) as running:
        deadline = time.monotonic() + 30
        while not (root / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        try:
            assert read_stage_states(root) == {"ingest": "running", "split": "unknown"}
        finally:
            os.killpg(running.pid, 9)


@pytest.fixture
def evaluated(tmp_path):
    metric = {"value": 0.5, "low": 0.4, "high": 0.6}
    block = {"rows": 100} | dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"), metric)
    for stage, name, content in (
        ("evaluate", "metrics.json", {"test": block, "val": block}),
        ("evaluate", "calibration.json", {"scores": {split: {"ece": {"after": metric}} for split in ("test", "val")}}),
        ("split", "split.json", {"strategy": "stratified"}),
    ):
        (tmp_path / "artifacts" / stage).mkdir(parents=True, exist_ok=True)
        (tmp_path / "artifacts" / stage / name).write_text(json.dumps(content))
    return tmp_path


def test_results_say_which_split_they_are_of(evaluated):
    table = results_table(evaluated)
    assert "| test (stratified split) | 100 | **50.0%** (40.0-60.0) |" in table
    assert "**0.500** (0.400-0.600)" in table  # log loss is no share
    with pytest.raises(WorkflowError, match="ferrule run"):
        results_table(REPOSITORY / "docs")


def test_results_are_written_between_their_marks_and_nowhere_else(evaluated, tmp_path):
    document = tmp_path / "page.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        write_results(evaluated, document)
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert text.count("| test (") == 1
    assert "old" not in text
    document.write_text("no marks")
    with pytest.raises(WorkflowError, match="Expected the lines"):
        write_results(evaluated, document)
    assert document.read_text() == "no marks"
