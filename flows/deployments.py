"""The deployments of prefect.yaml on a Prefect server: their work pool, and whether all is there and ready."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkerFilter,
    WorkerFilterStatus,
)
from prefect.client.schemas.objects import StateType, Worker
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import MissingFlowError, ObjectNotFound, PrefectHTTPStatusError
from prefect.flows import load_flow_arguments_from_entrypoint
from prefect.settings import PREFECT_API_URL, get_current_settings
from prefect.utilities.asyncutils import run_coro_as_sync
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from ferrule.errors import WorkflowError

FILE = "prefect.yaml"
POOL = "ferrule"
FOLDER_STEP = "set_working_directory"


@dataclass(frozen=True)
class Target:
    """Where flows run: the work pool, its type, and, in containers, the image and the project's folder inside."""

    pool: str = POOL
    type: str = "process"
    image: str | None = None
    folder: str | None = None


def read_names(root: Path) -> tuple[str, ...]:
    """Return the names of the deployments in prefect.yaml; raises WorkflowError where it cannot be read."""
    return tuple(deployment["name"] for deployment in _read_file(root)["deployments"])


def deploy(root: Path, target: Target, *, replace: bool = False) -> tuple[str, ...]:
    """Make the pool where it is missing, apply every deployment of prefect.yaml, and return their names.

    Raises WorkflowError where the server cannot be used, the pool is of another type, or a deployment is refused; also,
    unless they may be replaced, where deployments of these names run in another folder or pool.
    """
    if not replace:
        _expect_ours(root, target)
    ensure_pool(target)
    with TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        file.write_text(yaml.safe_dump(aim(_read_file(root), target)))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        environment = {**os.environ, **get_current_settings().to_environment_variables(exclude_unset=True)}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise WorkflowError(f"Expected Prefect to take the deployments of {FILE}; it said: {lines[-1]}")
    return read_names(root)


def _expect_ours(root: Path, target: Target) -> None:
    """Raise WorkflowError where a deployment that would be overwritten runs in another folder or pool than ours."""
    ours = f"{target.folder or root.resolve()} (pool {target.pool})"
    with asking_server() as client:
        places = {name: _tell_place(found) for name, found in read_deployed(client, root).items()}
    if others := [f"{name} runs in {place}" for name, place in places.items() if place != ours]:
        raise WorkflowError(
            f"Expected deployments that run in {ours}, or none; on that server {', '.join(others)}; deploy to another "
            "server, or take them over with --replace."
        )


def _tell_place(found: DeploymentResponse) -> str:
    """Return the folder and the pool that a deployment runs in."""
    steps = [step for entry in found.pull_steps or [] for name, step in entry.items() if name.endswith(FOLDER_STEP)]
    return f"{steps[-1]['directory'] if steps else 'a folder of its own'} (pool {found.work_pool_name})"


def ensure_pool(target: Target) -> None:
    """Make the target's work pool where it is missing; raises WorkflowError where it is of another type."""
    with asking_server() as client:
        try:
            found = client.read_work_pool(target.pool).type
        except ObjectNotFound:
            template = run_coro_as_sync(get_default_base_job_template_for_infrastructure_type(target.type))
            pool = WorkPoolCreate(name=target.pool, type=target.type, base_job_template=template)
            found = client.create_work_pool(pool).type
    if found != target.type:
        raise WorkflowError(
            f"Expected the pool {target.pool} to be of type {target.type}; it is of type {found}; choose another."
        )


def aim(content: dict[str, Any], target: Target) -> dict[str, Any]:
    """Return the content of prefect.yaml with its deployments in the target's pool, image and folder."""
    content = content | {"deployments": [_place(entry, target) for entry in content["deployments"]]}
    if target.folder:
        pull = [{"prefect.deployments.steps.set_working_directory": {"directory": target.folder}}]
        content |= {"build": None, "pull": pull}
    return content


def find_faults(root: Path, pool: str = POOL) -> list[str]:
    """Say what keeps the deployments in `pool` from running: no worker, one that is missing, not ready or idle."""
    with asking_server() as client:
        workers = read_online(client, pool)
        there = {name: found for name, found in read_deployed(client, root).items() if found.work_pool_name == pool}
        faults = [_find_fault(client, name, there.get(name)) for name in read_names(root)]
    return [*([] if workers else [f"no worker of the pool {pool} is online"]), *filter(None, faults)]


def read_deployed(client: SyncPrefectClient, root: Path) -> dict[str, DeploymentResponse]:
    """Return those deployments of prefect.yaml that the server has, by name. Others, of other projects, are not asked.

    Raises WorkflowError where the file, or a flow that it names, cannot be read.
    """
    there = {}
    for entry in _read_file(root)["deployments"]:
        with suppress(ObjectNotFound):
            there[entry["name"]] = client.read_deployment_by_name(f"{_read_flow(root, entry)}/{entry['name']}")
    return there


def _read_flow(root: Path, entry: dict[str, Any]) -> str:
    """Return the name of a deployment's flow, without running its module; with it, a server knows the deployment."""
    try:
        entrypoint = entry["entrypoint"]
        given = load_flow_arguments_from_entrypoint(str(root / entrypoint), {"name"})
    except (KeyError, OSError, SyntaxError, ValueError, MissingFlowError) as error:
        raise WorkflowError(f"Expected the flow of {entry['name']} in {FILE}; got {error!r}; correct it.") from error
    return given.get("name") or entrypoint.rpartition(":")[2].replace("_", "-")


def read_online(client: SyncPrefectClient, pool: str) -> list[Worker]:
    """Return the workers of a pool that are online."""
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    return client.read_workers_for_work_pool(pool, worker_filter=online)


def _find_fault(client: SyncPrefectClient, name: str, found: DeploymentResponse | None) -> str | None:
    if found is None:
        return f"the deployment {name} is missing"
    if found.paused:
        return f"the deployment {name} is paused"
    if any(schedule.active for schedule in found.schedules) and not _has_run_ahead(client, found):
        return f"the deployment {name} has a schedule but no run ahead"
    return None if found.status == "READY" else f"the deployment {name} is not ready"


def _has_run_ahead(client: SyncPrefectClient, found: DeploymentResponse) -> bool:
    scheduled = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    return bool(
        client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id])),
            flow_run_filter=FlowRunFilter(state=scheduled),
            limit=1,
        )
    )


@contextmanager
def asking_server() -> Iterator[SyncPrefectClient]:
    """Give a client of the server that PREFECT_API_URL or Prefect's profile names.

    Raises WorkflowError, also for what is asked inside the block, where the server is not there or does not agree.
    """
    address = PREFECT_API_URL.value()
    if not address:
        raise WorkflowError(
            "Expected a Prefect server's address in PREFECT_API_URL, or `ferrule up` running; neither is."
        )
    try:
        with get_client(sync_client=True) as client:
            if failure := client.api_healthcheck():
                raise failure
            yield client
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        hint = "check PREFECT_API_KEY or PREFECT_API_AUTH_STRING" if status in (401, 403) else "check PREFECT_API_URL"
        raise WorkflowError(f"Expected a Prefect server at {address}; it answers {status}; {hint}.") from error
    except (HTTPError, OSError, ValueError) as error:
        raise WorkflowError(
            f"Expected a Prefect server at {address}; {type(error).__name__}: {error}; check PREFECT_API_URL."
        ) from error


def _place(deployment: dict[str, Any], target: Target) -> dict[str, Any]:
    pool = deployment.get("work_pool", {}) | {"name": target.pool}
    if target.image:
        pool["job_variables"] = pool.get("job_variables", {}) | {"image": target.image}
    return deployment | {"work_pool": pool}


def _read_file(root: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((root / FILE).read_text())
        if not all(deployment["name"] for deployment in content["deployments"]):
            raise ValueError("a deployment without a name")
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise WorkflowError(f"Expected deployments in {root / FILE}; got {error!r}; correct the file.") from error
    return content
