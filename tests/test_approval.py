"""The mode `manual`: a run that waits for a person, in Prefect as its interface does it, and from the command line."""

import threading
import time
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.flow_runs import resume_flow_run
from trained_project import copy_project, run_stages, write_trained_project

from ferrule.registry.aliases import CHAMPION, read_history
from ferrule.registry.versions import find_version
from ferrule.store import open_store
from flows import approval
from flows.promotion import answer_challenger, promote_challenger

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    write_trained_project(root, votes=False)
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["promotion"] |= {"mode": "manual", "min_accuracy": 0.99}  # the numbers speak against it
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return root


@pytest.fixture
def root(made, tmp_path, monkeypatch):
    """Give a project in the mode `manual` with a challenger and no champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(approval, "POLL", 0.3)
    if not (made / "mlruns").exists():
        run_stages(made)
    return copy_project(made, tmp_path / "project")


class Asked:
    """A promotion that runs beside the test, as it would in another terminal."""

    def __init__(self, root):
        self.root, self.result = root, None
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()

    def ask(self):
        self.result = promote_challenger(self.root)

    def wait_for(self, state):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = [entry for entry in read_history(self.root, "ferrule") if entry.state == state]
            if found:
                return found[-1]
            time.sleep(0.3)
        raise AssertionError(read_history(self.root, "ferrule"))

    def end(self):
        self.thread.join(120)
        return self.result


def wait_until_paused(entry):
    with get_client(sync_client=True) as client:
        for _ in range(200):
            state = client.read_flow_run(UUID(entry.flow_run_id)).state
            if state.is_paused():
                return state
            time.sleep(0.3)
    raise AssertionError(state)


def test_a_run_waits_with_the_comparison_in_front_and_is_answered_in_prefect(root):
    asked = Asked(root)
    entry = asked.wait_for("waiting")
    keys = wait_until_paused(entry).state_details.run_input_keyset
    with get_client(sync_client=True) as client:
        for _ in range(100):  # it is written right after the pause
            try:
                shown = client.read_flow_run_input(UUID(entry.flow_run_id), keys["description"])
                break
            except Exception:
                time.sleep(0.2)
    assert "at least 99.0 % is asked for" in shown
    assert "check" in shown
    assert find_version(root, "ferrule", CHAMPION) is None
    resume_flow_run(UUID(entry.flow_run_id), run_input={"approve": True, "why": "We need one", "who": "Ada"})
    promoted = asked.end()
    assert promoted.outcome == "promoted"
    assert promoted.sentence.startswith(
        "Version 1 is the champion now. Approved by Ada: We need one. The numbers speak"
    )
    done = read_history(root, "ferrule")[-1]
    assert (done.state, done.run_id) == ("done", entry.run_id)
    assert "Approved by Ada" in done.why


def test_the_command_line_answers_the_run_that_waits(root):
    asked = Asked(root)
    wait_until_paused(asked.wait_for("waiting"))
    answered = answer_challenger(root, approve=False, why="too weak")
    waited = asked.end()
    assert answered.outcome == waited.outcome == "refused"
    assert "too weak" in answered.sentence
    decisions = [each for each in read_history(root, "ferrule") if each.action == "promotion"]
    assert [each.state for each in decisions] == ["refused"]
    assert find_version(root, "ferrule", CHAMPION) is None
    again = promote_challenger(root)  # asks nobody, or it would wait
    assert again.outcome == "refused"
    assert "too weak" in again.sentence
    assert answer_challenger(root, approve=True, why="I have seen it again").outcome == "promoted"


def test_without_a_run_that_waits_the_command_line_decides(root):
    promoted = answer_challenger(root, approve=True, why="It is the first")
    assert promoted.outcome == "promoted"
    assert find_version(root, "ferrule", CHAMPION).version == "1"
    assert answer_challenger(root, approve=True, why="again").outcome == "unchanged"


def test_data_that_did_not_pass_validation_cannot_be_approved(root):
    open_store(root).set_model_version_tag("ferrule", "1", "ferrule.validated", "false")
    refused = answer_challenger(root, approve=True, why="I want it")
    assert refused.outcome == "refused"
    assert "The data behind it did not pass validation." in refused.sentence


@pytest.mark.slow
def test_where_nobody_decides_in_time_it_is_refused(root):
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["promotion"]["approval_hours"] = 2 / 3600
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    refused = promote_challenger(root)
    assert refused.outcome == "refused"
    assert "Refused by the time limit: nobody decided within" in refused.sentence
    assert read_history(root, "ferrule")[-1].question == "", "the next run asks again"
