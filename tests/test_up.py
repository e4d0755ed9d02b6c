"""`ferrule up` on a real project: a schedule runs, late runs collapse, and nothing is left when it stops."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import HTTPServer, SimpleHTTPRequestHandler

import psutil
import pytest
from conftest import HEAR_CTRL_C, REPOSITORY
from trained_project import run_stages, write_trained_project

from ferrule.errors import WorkflowError
from flows.project import run_dvc, start_guarded, stop_guarded
from flows.standing import find_standing, standing_alone, tell_addresses
from flows.ui import Server, ensure_prefect, plan_servers, serve

SLOW = "stages: {slow: {cmd: exec sleep 62.5, deps: [data], outs: [slow]}}"  # a stage to stop
SLEEPER = ["sleep", "62.5"]
START = 280  # seconds, on a machine that does other things too


def test_one_stands_alone_and_others_find_it(tmp_path):
    assert find_standing(tmp_path) is None
    with standing_alone(tmp_path):
        assert find_standing(tmp_path) is None  # it starts
        tell_addresses(tmp_path, {"Prefect": "http://127.0.0.1:1"})
        assert find_standing(tmp_path) == {"Prefect": "http://127.0.0.1:1"}
        with pytest.raises(WorkflowError, match="no other `ferrule up`"), standing_alone(tmp_path):
            pass
    assert find_standing(tmp_path) is None


def test_other_commands_use_the_server_that_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "")
    with standing_alone(tmp_path):
        tell_addresses(tmp_path, {"Prefect": "http://127.0.0.1:1"})
        ensure_prefect(tmp_path)
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:1/api"


def test_a_port_in_use_is_named_with_the_option_that_changes_it(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = Server("Prefect", ("prefect", "server", "start"), port)
        with (
            pytest.raises(WorkflowError, match=f"port {port} free for Prefect.*--prefect-port"),
            serve(tmp_path, server),
        ):
            pass


def test_mlflow_on_a_server_is_not_started_here_and_must_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:1")
    with pytest.raises(WorkflowError, match=r"MLflow server at http://127.0.0.1:1, .* does not answer"):
        plan_servers(tmp_path, 5000, 4200)
    server = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    address = f"http://127.0.0.1:{server.server_port}"
    (tmp_path / "health").write_text("OK")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers, addresses = plan_servers(tmp_path, 5000, 4200)
        server.shutdown()
    assert [one.name for one in servers] == ["Prefect"]
    assert addresses == {"MLflow": address, "Prefect": "http://127.0.0.1:4200"}


# A command that starts another in a session of its own, as a Prefect worker does.
FAMILY = [sys.executable, "-c", f"import subprocess; subprocess.run({SLEEPER}, start_new_session=True)"]


def test_what_is_guarded_is_stopped_with_all_its_sessions(tmp_path):
    process = start_guarded(FAMILY, cwd=tmp_path)
    wait_for(lambda: sleepers(tmp_path))
    stop_guarded(process)
    assert not sleepers(tmp_path)


def test_what_is_guarded_does_not_outlive_a_killed_asker(tmp_path):
    code = f"from flows.project import start_guarded; start_guarded({FAMILY}).wait()"
    asker = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    wait_for(lambda: sleepers(tmp_path))
    asker.kill()
    asker.wait()
    wait_for(lambda: not sleepers(tmp_path))


def test_a_guarded_command_ends_as_it_would_alone(tmp_path):
    assert start_guarded([sys.executable, "-c", "raise SystemExit(7)"], cwd=tmp_path).wait() == 7


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Give a project with a registered challenger, so that a promotion is cheap, and one slow stage to train."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_trained_project(root, votes=False)
        run_stages(root)
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(REPOSITORY / name, root)
    for name in ("flows", "pipelines", "ferrule"):
        (root / name).symlink_to(REPOSITORY / name)
    (root / "dvc.yaml").write_text(SLOW)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text((REPOSITORY / ".dvc" / "config").read_text() + "    no_scm = true\n")
    (root / "data").mkdir()
    (root / "data" / "raw.txt").write_text("raw")
    (root / "data.dvc").unlink()
    run_dvc(root, "add", "data")
    return root


@pytest.fixture
def standing(root):
    """Give a running `ferrule up` and its addresses."""
    up = start(root, "up", *free_ports())
    try:
        wait_for(lambda: find_standing(root) or up.poll() is not None, START)
        assert up.poll() is None, up.communicate()
        yield up, find_standing(root)
    finally:
        up.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_schedule_runs_late_runs_collapse_and_ctrl_c_leaves_nothing(root, standing):
    up, addresses = standing
    ask = asker(addresses)
    assert start(root, "up", "--check").wait(START) == 0

    promotion = ask("GET", "/deployments/name/promotion/promotion")
    soon = {"interval": 86400, "anchor_date": (datetime.now(UTC) + timedelta(seconds=15)).isoformat()}
    ask("POST", f"/deployments/{promotion['id']}/schedules", [{"schedule": soon, "active": True}])
    ask("POST", f"/deployments/{promotion['id']}/schedule", {})  # now; the scheduler comes round once a minute
    wait_for(lambda: states(ask, promotion, auto_scheduled=True).count("COMPLETED") == 1, START)

    for hours in range(5, 0, -1):
        then = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": then}}
        ask("POST", f"/deployments/{promotion['id']}/create_flow_run", {"state": state})
    wait_for(lambda: sorted(states(ask, promotion, auto_scheduled=False)) == 4 * ["CANCELLED"] + ["COMPLETED"], START)

    family = begin_training(root, up, ask)
    os.kill(up.pid, signal.SIGINT)
    output, _ = up.communicate(timeout=120)
    assert up.returncode == 0, output
    assert not sleepers(root)
    assert not alive(family)
    assert final_states(root, "training") == ["Cancelled"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_it_leaves_no_process_and_the_next_start_closes_its_run(root, standing):
    up, addresses = standing
    ask = asker(addresses)
    family = begin_training(root, up, ask)
    promotion = ask("GET", "/deployments/name/promotion/promotion")
    due = datetime.now(UTC) + timedelta(seconds=30)
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}}
    ask("POST", f"/deployments/{promotion['id']}/create_flow_run", {"state": state})
    up.kill()
    wait_for(lambda: not sleepers(root) and not alive(family), 120)
    wait_for(lambda: datetime.now(UTC) > due)
    checked = start(root, "up", "--check", *free_ports())
    output, _ = checked.communicate(timeout=START)
    assert checked.returncode == 0, output
    assert "Healthy" in output
    assert "Running" not in final_states(root, "training")
    assert late_runs(root) == ["promotion"]  # the check has not taken it, and has not lost it


def begin_training(root, up, ask):
    """Start the deployed training, wait for its slow stage, and return every process below `ferrule up`."""
    training = ask("GET", "/deployments/name/training/training")
    ask("POST", f"/deployments/{training['id']}/create_flow_run", {})
    wait_for(lambda: sleepers(root), START)
    return psutil.Process(up.pid).children(recursive=True)


def start(root, *arguments):
    code = f"{HEAR_CTRL_C}; from ferrule.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(REPOSITORY)])}
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_ports():
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return "--mlflow-port", str(one.getsockname()[1]), "--prefect-port", str(other.getsockname()[1])


def asker(addresses):
    """Give a function that asks Prefect's API."""
    import httpx

    def ask(method, path, content=None):
        for _ in range(20):  # a busy server says 503
            answer = httpx.request(method, f"{addresses['Prefect']}/api{path}", json=content, timeout=60)
            if answer.status_code != 503:
                break
            time.sleep(1)
        answer.raise_for_status()
        return answer.json()

    return ask


def states(ask, deployment, *, auto_scheduled):
    """Return the state of each run of a deployment that is due."""
    runs = ask("POST", "/flow_runs/filter", {"flow_runs": {"deployment_id": {"any_": [deployment["id"]]}}})
    now = datetime.now(UTC)
    due = [run for run in runs if datetime.fromisoformat(run["expected_start_time"]) <= now]
    return [run["state_type"] for run in due if run["auto_scheduled"] == auto_scheduled]


def final_states(root, flow):
    """Return the states that the database holds of a flow's runs, those still to come left out."""
    with sqlite3.connect(root / ".prefect" / "prefect.db") as database:
        query = "select r.state_name from flow_run r join flow f on f.id = r.flow_id where f.name = ?"
        return [name for (name,) in database.execute(query, [flow]) if name != "Scheduled"]


def late_runs(root):
    """Return the flow of each run that was to begin and has not."""
    with sqlite3.connect(root / ".prefect" / "prefect.db") as database:
        query = (
            "select f.name from flow_run r join flow f on f.id = r.flow_id where r.state_type = 'SCHEDULED' "
            "and datetime(r.next_scheduled_start_time) < datetime('now')"
        )
        return [name for (name,) in database.execute(query)]


def alive(processes):
    """Return those that run; one that has ended may wait as a zombie for an init that is slow to take note."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def sleepers(folder):
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if process.info["cmdline"] == SLEEPER and process.info["cwd"] == str(folder):
            found.append(process)
    return found


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
