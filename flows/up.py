"""What `ferrule up` starts and stops: Prefect and MLflow on loopback, the deployments, and a worker that runs them."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ferrule.errors import WorkflowError
from flows.standing import standing_alone, tell_addresses
from flows.ui import POLL, START_TIMEOUT, answers, plan_servers, run_logged, serve

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

WORKER = "worker"
STOP_TIMEOUT = 45  # seconds; Prefect gives a cancelled run 30 to end


@dataclass(frozen=True)
class Operation:
    """What stands: the servers' addresses, and every process, both by name."""

    addresses: dict[str, str]
    processes: dict[str, subprocess.Popen]


@contextlib.contextmanager
def operate(root: Path, mlflow_port: int, prefect_port: int, *, takes_runs: bool = True) -> Iterator[Operation]:
    """Start everything and give it once it is healthy; at the end cancel the runs under way and stop everything.

    Without `takes_runs` the worker leaves what is due as it is: that is to prove that everything starts. Sets
    PREFECT_API_URL, so it is to be entered before Prefect is imported. Raises WorkflowError where one stands already, a
    port is taken, or something does not start.
    """
    servers, addresses = plan_servers(root, mlflow_port, prefect_port)
    with standing_alone(root), serve(root, *servers) as processes:
        os.environ["PREFECT_API_URL"] = f"{addresses['Prefect']}/api"
        from flows.deployments import Target, deploy

        deploy(root, Target(), replace=True)  # the server is this project's, which may have been moved
        close_lost_runs()
        with work(root, takes_runs=takes_runs) as worker:
            expect_sound(root, addresses, START_TIMEOUT)
            tell_addresses(root, addresses)
            yield Operation(addresses, {**processes, WORKER: worker})


def expect_sound(root: Path, addresses: Mapping[str, str], patience: float = 0) -> None:
    """Expect servers that answer at `addresses`, a worker online and every deployment ready, in `patience` seconds.

    Sets PREFECT_API_URL. Raises WorkflowError that says all that is wrong.
    """
    os.environ["PREFECT_API_URL"] = f"{addresses['Prefect']}/api"
    from flows.deployments import find_faults

    deadline = time.monotonic() + patience
    while True:
        silent = [name for name, address in addresses.items() if not answers(name, address)]
        faults = [f"{name} does not answer at {addresses[name]}" for name in silent] or find_faults(root)
        if not faults:
            return
        if time.monotonic() > deadline:
            raise WorkflowError(f"Expected everything to be ready; {'; '.join(faults)}; see logs/, and start again.")
        time.sleep(POLL)


def close_lost_runs() -> None:
    """Mark as crashed what a worker that is gone left as running: it would keep its deployment's one slot for ever."""
    from prefect.states import Crashed

    from flows.deployments import asking_server

    with asking_server() as client:
        for run in _runs_under_way(client):
            client.set_flow_run_state(run.id, Crashed(message="Its worker ended before it did."), force=True)


@contextlib.contextmanager
def work(root: Path, *, takes_runs: bool = True) -> Iterator[subprocess.Popen]:
    """Run a worker; what it has under way at the end is cancelled, since a worker would wait for it.

    Without `takes_runs` it asks for runs, by which deployments become ready, and leaves them as they are.
    """
    from flows.deployments import POOL

    limit = () if takes_runs else ("--limit", "0")
    command = ("prefect", "worker", "start", "--pool", POOL, "--type", "process", *limit)
    with run_logged(root, WORKER, command, PREFECT_WORKER_ENABLE_CANCELLATION="true") as worker:
        try:
            yield worker
        finally:
            with contextlib.suppress(WorkflowError):  # the server is gone: `close_lost_runs` tells at the next start
                _cancel_runs()


def _cancel_runs() -> None:
    """Cancel what is under way, and wait until it has ended: the worker stops the flow, and that its stage."""
    from prefect.states import Cancelling

    from flows.deployments import asking_server

    with asking_server() as client:
        for run in _runs_under_way(client):
            client.set_flow_run_state(run.id, Cancelling(message="`ferrule up` was stopped."))
        deadline = time.monotonic() + STOP_TIMEOUT
        while _runs_under_way(client) and time.monotonic() < deadline:
            time.sleep(POLL)


def _runs_under_way(client: "SyncPrefectClient") -> list["FlowRun"]:
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    from flows.deployments import POOL

    under_way = [StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
    state = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=under_way))
    return client.read_flow_runs(
        flow_run_filter=filters.FlowRunFilter(state=state),
        work_pool_filter=filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[POOL])),
    )
