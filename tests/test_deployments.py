"""The deployments of prefect.yaml, as written and on a real temporary Prefect server."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from zoneinfo import ZoneInfo

import pytest
import yaml
from conftest import REPOSITORY
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from ferrule.errors import WorkflowError
from flows.deployments import Target, aim, asking_server, deploy, ensure_pool, find_faults, read_deployed, read_names
from flows.ui import prefect_server, serve
from flows.up import work

TEXT = (REPOSITORY / "prefect.yaml").read_text()
CONTENT = yaml.safe_load(TEXT)
NAMES = ("training", "promotion", "scoring", "monitoring")


@pytest.mark.parametrize("deployment", CONTENT["deployments"], ids=lambda entry: entry["name"])
def test_each_deployment_says_what_it_is_and_runs_once_at_a_time(deployment):
    assert deployment["description"]
    assert "ferrule" in deployment["tags"]
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert deployment["work_pool"] == {"name": "ferrule"}
    assert deployment["schedules"] or deployment["triggers"]
    for schedule in deployment["schedules"]:
        assert ZoneInfo(schedule["timezone"])


def test_no_machine_stands_in_the_file():
    assert not any(word in TEXT for word in ("/home", "/work", "/tmp", "/Users"))
    assert read_names(REPOSITORY) == NAMES


def test_containers_have_an_image_and_a_folder_and_keep_what_the_file_says_of_the_pool():
    content = {"build": [1], "deployments": [{"name": "a", "work_pool": {"job_variables": {"env": {"B": "c"}}}}]}
    aimed = aim(content, Target("cluster", "kubernetes", "ferrule:1", "/project"))
    variables = {"env": {"B": "c"}, "image": "ferrule:1"}
    assert aimed["deployments"] == [{"name": "a", "work_pool": {"name": "cluster", "job_variables": variables}}]
    assert aimed["build"] is None
    assert aimed["pull"] == [{"prefect.deployments.steps.set_working_directory": {"directory": "/project"}}]


PASSWORD = "one:two"  # made up here, for the time of the test


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Give a folder with the project's flows and settings, and a Prefect server with a password that is asked."""
    root = tmp_path_factory.mktemp("project")
    for name in ("prefect.yaml", "prefect.toml", "params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, root)
    for name in ("flows", "pipelines", "ferrule"):
        (root / name).symlink_to(REPOSITORY / name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server = prefect_server(probe.getsockname()[1])
    settings = {PREFECT_API_URL: f"{server.address}/api", PREFECT_API_AUTH_STRING: PASSWORD}
    with pytest.MonkeyPatch.context() as environment, contextlib.ExitStack() as stack:
        environment.setenv("PREFECT_SERVER_API_AUTH_STRING", PASSWORD)
        environment.setenv("PREFECT_HOME", str(root / ".prefect"))
        stack.enter_context(serve(root, server))
        stack.enter_context(temporary_settings(settings))
        yield root


@pytest.fixture(scope="module")
def deployed(project):
    """Give the deployments on the server by name."""
    assert deploy(project, Target()) == NAMES
    with asking_server() as client:
        yield read_deployed(client, project)


def test_every_deployment_arrives_as_it_is_written(project, deployed):
    assert set(deployed) == set(NAMES)
    for written in CONTENT["deployments"]:
        found = deployed[written["name"]]
        assert (found.work_pool_name, found.description, found.tags) == (
            "ferrule",
            written["description"],
            written["tags"],
        )
        assert found.global_concurrency_limit.limit == 1
        assert found.concurrency_options.collision_strategy == "CANCEL_NEW"
        assert [entry.schedule.cron for entry in found.schedules] == [entry["cron"] for entry in written["schedules"]]
        assert found.pull_steps[0]["prefect.deployments.steps.set_working_directory"] == {"directory": str(project)}


def test_parameters_have_the_types_of_the_flows_signature(deployed):
    recipe = deployed["training"].parameter_openapi_schema["properties"]["recipe"]
    assert {kind["type"] for kind in recipe["anyOf"]} == {"string", "null"}
    for found in deployed.values():
        assert found.parameter_openapi_schema["properties"]["root"]["anyOf"][0]["format"] == "path"


def test_without_a_worker_each_fault_is_named(project, deployed):
    wait_for(lambda: not any("no run ahead" in fault for fault in find_faults(project)))  # the scheduler works
    faults = find_faults(project)
    assert faults[0] == "no worker of the pool ferrule is online"
    assert faults[1:] == [f"the deployment {name} is not ready" for name in NAMES]


CONTAINERS = Target("containers", "docker", "registry.example/ferrule:1", "/project")


def test_a_worker_that_takes_no_runs_makes_all_ready_and_leaves_what_is_due(project, deployed, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", PASSWORD)
    with asking_server() as client:
        due = client.create_flow_run_from_deployment(deployed["scoring"].id)
        with work(project, takes_runs=False):
            wait_for(lambda: not find_faults(project))
        assert client.read_flow_run(due.id).state.is_scheduled()


def test_drift_starts_a_training_and_a_training_a_promotion(deployed):
    training = {"prefect.resource.id": f"prefect.deployment.{deployed['training'].id}"}
    related = [{**training, "prefect.resource.role": "deployment", "prefect.resource.name": "training"}]
    tag = {"prefect.resource.id": "prefect.tag.ferrule", "prefect.resource.role": "tag"}
    completed = partial(Event, event="prefect.flow-run.Completed")
    events = [
        completed(resource={"prefect.resource.id": "prefect.flow-run.of-another-project"}, related=related),
        completed(resource={"prefect.resource.id": "prefect.flow-run.another"}, related=[*related, tag]),
        Event(event="ferrule.drift", resource={"prefect.resource.id": "ferrule.model.faces"}),
    ]
    # By the server's API: `emit_event` sends to the server that the first event of this process went to.
    with asking_server() as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])
        wait_for(lambda: started(client, deployed) == {"training": 1, "promotion": 1})


def started(client, deployed):
    """Count the runs of each deployment that an event started."""
    names = {found.id: name for name, found in deployed.items()}
    runs = (run for run in client.read_flow_runs() if run.created_by and run.created_by.type == "AUTOMATION")
    return Counter(names[run.deployment_id] for run in runs)


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_a_pool_of_containers_takes_an_image_without_the_packages_of_its_worker(project, kind):
    ensure_pool(Target(kind, kind))
    with get_client(sync_client=True) as client:
        assert "image" in client.read_work_pool(kind).base_job_template["variables"]["properties"]


@pytest.mark.slow
def test_deploying_again_changes_nothing(project, deployed):
    deploy(project, Target())
    with asking_server() as client:
        again = read_deployed(client, project)
    for name, found in again.items():
        assert (found.id, found.pull_steps, found.tags) == (
            deployed[name].id,
            deployed[name].pull_steps,
            deployed[name].tags,
        )


@pytest.mark.usefixtures("deployed")
def test_what_runs_in_another_folder_or_pool_is_not_overwritten_unasked(project, tmp_path):
    for name in ("prefect.yaml", "flows"):
        (tmp_path / name).symlink_to(project / name)
    for root, target in ((tmp_path, Target()), (project, CONTAINERS)):
        with pytest.raises(WorkflowError, match=rf"training runs in {project} \(pool ferrule\).*--replace"):
            deploy(root, target)


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
def test_deployments_go_to_containers(project):
    deploy(project, CONTAINERS, replace=True)
    with asking_server() as client:
        there = read_deployed(client, project)
    found = [entry for entry in there.values() if entry.work_pool_name == "containers"]
    assert set(there) == {entry.name for entry in found} == set(NAMES)
    assert {entry.job_variables["image"] for entry in found} == {"registry.example/ferrule:1"}
    assert {str(entry.pull_steps) for entry in found} == {
        "[{'prefect.deployments.steps.set_working_directory': {'directory': '/project'}}]"
    }


def test_a_pool_of_another_type_is_refused(project, deployed):
    with pytest.raises(WorkflowError, match="to be of type docker; it is of type process"):
        ensure_pool(Target(type="docker"))


@pytest.mark.parametrize("path", ["/api", "/nothing-here"], ids=["no server", "another server"])
def test_a_wrong_server_is_one_sentence(path, project):
    address = "http://127.0.0.1:9" if path == "/api" else PREFECT_API_URL.value().removesuffix("/api")
    with (
        temporary_settings({PREFECT_API_URL: address + path}),
        pytest.raises(WorkflowError, match="Expected a Prefect server at"),
        asking_server() as client,
    ):
        client.read_work_pools()


def test_a_wrong_password_is_one_sentence(project):
    with (
        temporary_settings({PREFECT_API_AUTH_STRING: "one:three"}),
        pytest.raises(WorkflowError, match="answers 401; check PREFECT_API_KEY or PREFECT_API_AUTH_STRING"),
    ):
        ensure_pool(Target())


def test_the_command_says_what_containers_need(tmp_path):
    code = "from ferrule.cli import main; main(['deploy', '--type', 'docker'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--image and --folder" in done.stderr


def wait_for(condition, seconds=200):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)
