"""The training flow on a real DVC project with small stages: order, side by side, failures, retries, the cache."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from conftest import HEAR_CTRL_C, REPOSITORY
from filelock import FileLock

from ferrule.errors import WorkflowError
from flows.logs import reporting_plainly
from flows.project import find_root, run_dvc
from flows.standing import FOLDER
from flows.tasks import is_transient
from flows.training import is_current, train_challenger

pytestmark = pytest.mark.usefixtures("prefect_server")

DIAMOND = """
stages:
  left: {cmd: cp data/raw.txt left, deps: [data], outs: [left]}
  right: {cmd: cp data/raw.txt right, deps: [data], outs: [right]}
  join: {cmd: cat left right > join, deps: [left, right], outs: [join]}
"""

ONE = "stages: {left: {cmd: cp data/raw.txt left, deps: [data], outs: [left]}}"


def outcomes(runs):
    return {run.stage: run.outcome for run in runs}


def test_stages_run_once_and_then_not_again(toy_project):
    root = toy_project(DIAMOND)
    assert outcomes(train_challenger(root)) == {"left": "ran", "right": "ran", "join": "ran"}
    assert (root / "join").read_text() == "rawraw"
    assert is_current(root)
    assert set(outcomes(train_challenger(root)).values()) == {"unchanged"}


def test_stages_that_do_not_need_each_other_run_side_by_side(toy_project):
    # Each waits for the other to have begun, so that one after the other would fail.
    meet = "for i in $(seq 600); do test -f $PWD/{other}.begun && break; sleep 0.1; done && test -f $PWD/{other}.begun"
    stages = DIAMOND
    for stage, other in (("left", "right"), ("right", "left")):
        copy = f"cp data/raw.txt {stage}"
        stages = stages.replace(
            f"cmd: {copy}", f"cmd: 'touch $PWD/{stage}.begun; {meet.format(other=other)} && {copy}'"
        )
    root = toy_project(stages)
    assert outcomes(train_challenger(root))["join"] == "ran"


@pytest.mark.slow
def test_the_flow_and_dvc_alone_give_the_same_lock(toy_project):
    root = toy_project(DIAMOND)
    train_challenger(root)
    lock = (root / "dvc.lock").read_text()
    (root / "dvc.lock").unlink()
    run_dvc(root, "repro", "--force")
    # DVC writes stages in the order they finish.
    assert sorted((root / "dvc.lock").read_text().splitlines()) == sorted(lock.splitlines())


def test_a_second_training_waits_for_the_first(toy_project, caplog):
    root = toy_project(ONE)
    (root / FOLDER).mkdir()
    begun = threading.Event()

    def train_first():
        with FileLock(root / FOLDER / "training.lock"):
            begun.set()
            time.sleep(2)

    threading.Thread(target=train_first).start()
    begun.wait()
    start = time.monotonic()
    assert outcomes(train_challenger(root)) == {"left": "ran"}
    assert time.monotonic() - start > 2
    assert "Another training of this project is under way" in caplog.text


def test_going_back_restores_from_the_cache(toy_project):
    root = toy_project(
        ONE.replace("cp data/raw.txt left", "cat params.yaml > left").replace("deps", "params: [a], deps")
    )
    for value, outcome in ((1, "ran"), (2, "ran"), (1, "restored")):
        (root / "params.yaml").write_text(f"a: {value}")
        assert outcomes(train_challenger(root)) == {"left": outcome}


def test_a_failure_names_the_stage_and_shows_its_last_lines(toy_project):
    root = toy_project(DIAMOND.replace("cp data/raw.txt right", "echo no such pixels && exit 3"))
    with pytest.raises(WorkflowError, match=r"(?s)Stage right failed.*no such pixels"):
        train_challenger(root)
    assert (root / "left").exists()  # what does not depend on it still finished
    assert not (root / "join").exists()


def test_what_the_network_broke_is_tried_again(toy_project, monkeypatch):
    flaky = "test -f tried || { touch tried; echo ConnectionError to the store; exit 1; }; cp data/raw.txt left"
    root = toy_project("stages:\n  left:\n    cmd: " + repr(flaky) + "\n    deps: [data]\n    outs: [left]\n")
    monkeypatch.setattr("flows.tasks.run_stage.retry_delay_seconds", 0)
    assert outcomes(train_challenger(root)) == {"left": "ran"}


def test_an_expected_failure_is_reported_without_a_traceback(toy_project, capsys, caplog):
    root = toy_project(DIAMOND.replace("cp data/raw.txt right", "exit 3"))
    with pytest.raises(WorkflowError), reporting_plainly():
        train_challenger(root)
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err + caplog.text
    assert "Stage right failed" in caplog.text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (WorkflowError("… requests.exceptions.ConnectionError: refused"), True),
        (WorkflowError("… sqlite3.OperationalError: database is locked"), True),
        (WorkflowError("… 3 of 10 rows are unreadable"), False),
        (ValueError("no such column"), False),
    ],
)
def test_only_the_network_is_worth_a_retry(error, expected):
    from prefect.states import Failed

    assert is_transient(None, None, Failed(data=error)) is expected


SLOW = "stages: {slow: {cmd: exec sleep 61.5, deps: [data], outs: [slow]}}"


def sleepers(root):
    return [
        p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "61.5"] and p.cwd() == str(root)
    ]


def test_an_interrupted_dvc_leaves_no_process_and_no_lock_behind(toy_project):
    root = toy_project(SLOW)

    def interrupt(line):
        if "sleep" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_dvc(root, "repro", on_line=interrupt)
    assert not sleepers(root)
    run_dvc(root, "status")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGINT, 130, id="SIGINT"),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, id="SIGKILL", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_flow_stops_its_stages_and_its_server(number, status, toy_project):
    root = toy_project(SLOW)
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "PREFECT_API_URL": "",
        "PREFECT_HOME": str(root / "home"),
    }
    command = [sys.executable, "-c", f"{HEAR_CTRL_C}; from ferrule.cli import main; main(['run'])"]
    flow = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        wait_for(lambda: sleepers(root))
        family = psutil.Process(flow.pid).children(recursive=True)
        assert any("prefect" in " ".join(member.cmdline()) for member in family)
        os.killpg(flow.pid, number)  # to the whole group, as a terminal does
        assert flow.wait(120) == status
    finally:
        flow.kill()
    wait_for(lambda: not any(member.is_running() for member in family))


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_root_is_found_from_below(toy_project):
    root = toy_project(DIAMOND)
    below = root / "a" / "b"
    below.mkdir(parents=True)
    assert find_root(below) == root
    with pytest.raises(WorkflowError):
        find_root(root.parent)
