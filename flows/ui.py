"""Servers of MLflow and Prefect on loopback: for a person to look at, for `ferrule up`, and for the time of a run."""

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from ferrule.errors import WorkflowError
from flows.project import start_guarded, stop_guarded
from flows.standing import find_standing

HOST = "127.0.0.1"
HEALTH = {"MLflow": "/health", "Prefect": "/api/health"}  # the path that answers once it is up
START_TIMEOUT = 180  # seconds; MLflow makes its database on first use, which takes a slow machine a minute
REMOTE_TIMEOUT = 10  # seconds for a server that is not ours to start
POLL = 0.5  # seconds


@dataclass(frozen=True)
class Server:
    """A server to start: its `name` is also that of its log and of the option that gives its port."""

    name: str
    command: tuple[str, ...]
    port: int

    @property
    def address(self) -> str:
        """Where it is reached."""
        return f"http://{HOST}:{self.port}"


def plan_servers(root: Path, mlflow_port: int, prefect_port: int) -> tuple[list[Server], dict[str, str]]:
    """Return the servers to start, and the addresses of MLflow and Prefect by name.

    Where MLFLOW_TRACKING_URI names a server, that is MLflow; raises WorkflowError where it does not answer.
    """
    from ferrule.store import is_server, server_address, store_uri

    servers = [prefect_server(prefect_port)]
    if is_server(store_uri(root)):
        remote = {"MLflow": server_address(store_uri(root))}
        if not answers("MLflow", remote["MLflow"], REMOTE_TIMEOUT):
            raise WorkflowError(
                f"Expected an MLflow server at {remote['MLflow']}, which MLFLOW_TRACKING_URI names; it does not "
                "answer; start it, or unset the variable."
            )
    else:
        remote, servers = {}, [mlflow_server(root, mlflow_port), *servers]
    return servers, remote | {server.name: server.address for server in servers}


def mlflow_server(root: Path, port: int) -> Server:
    """Return MLflow's server on the store of `root`."""
    from ferrule.store import quieten_mlflow, store_uri

    quieten_mlflow()
    command = ("mlflow", "server", "--workers", "1", "--backend-store-uri", store_uri(root))
    return Server("MLflow", command, port)


def prefect_server(port: int) -> Server:
    """Return Prefect's server on the database that prefect.toml names."""
    return Server("Prefect", ("prefect", "server", "start"), port)


@contextlib.contextmanager
def serve(root: Path, *servers: Server) -> Iterator[dict[str, subprocess.Popen]]:
    """Start all `servers`, and give their processes by name once they answer; stop them at the end.

    Raises WorkflowError where a port is taken or a server does not start.
    """
    for server in servers:
        _expect_free(server)
    with contextlib.ExitStack() as stack:
        processes = {server.name: stack.enter_context(_run(root, server)) for server in servers}
        for server in servers:
            _wait_until_healthy(server, processes[server.name])
        yield processes


def ensure_prefect(root: Path) -> None:
    """Have a Prefect server for the rest of this process: PREFECT_API_URL, that of `ferrule up`, or one of its own.

    To be called before Prefect is imported: it reads its settings then, and what it still has to send at exit is sent
    before the server stops. Prefect would start a server by itself, but in our process group, where Ctrl-C ends it
    first and the flow waits for minutes to say goodbye to it.
    """
    if os.environ.get("PREFECT_API_URL"):
        return
    address = (find_standing(root) or {}).get("Prefect")  # two servers would write to the same database
    if not address:
        server, stack = prefect_server(_find_free_port()), contextlib.ExitStack()
        atexit.register(stack.close)
        stack.enter_context(serve(root, server))
        address = server.address
    os.environ["PREFECT_API_URL"] = f"{address}/api"


def expect_running(processes: Mapping[str, subprocess.Popen]) -> None:
    """Raise WorkflowError where one of the processes, given by name, has ended by itself."""
    for name, process in processes.items():
        if process.poll() is not None:
            raise WorkflowError(f"Expected {name} to go on; it ended; see logs/{name.lower()}.log, and start again.")


def answers(name: str, address: str, timeout: float = 2) -> bool:
    """Tell whether the server `name` at `address` says within `timeout` seconds that it is up."""
    with contextlib.suppress(OSError, HTTPException):
        urllib.request.urlopen(address + HEALTH[name], timeout=timeout).close()  # noqa: S310  # http, as we asked for
        return True
    return False


@contextlib.contextmanager
def run_logged(root: Path, name: str, command: tuple[str, ...], **variables: str) -> Iterator[subprocess.Popen]:
    """Run a program of this environment in `root`, its output in logs/NAME.log, and stop it at the end."""
    log = root / "logs" / f"{name.lower()}.log"
    log.parent.mkdir(exist_ok=True)
    program = str(Path(sys.executable).parent / command[0])
    with log.open("w") as stream:
        process = start_guarded(
            [program, *command[1:]],
            cwd=root,
            env={**os.environ, **variables},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            stop_guarded(process)


def _run(root: Path, server: Server) -> contextlib.AbstractContextManager[subprocess.Popen]:
    command = (*server.command, "--host", HOST, "--port", str(server.port))
    # Prefect's page asks port 4200 for its data unless it is told otherwise.
    return run_logged(root, server.name, command, PREFECT_UI_API_URL=f"{server.address}/api")


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _expect_free(server: Server) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, server.port))
        except OSError as error:
            raise WorkflowError(
                f"Expected port {server.port} free for {server.name}; it is in use; choose another "
                f"(--{server.name.lower()}-port)."
            ) from error


def _wait_until_healthy(server: Server, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        if answers(server.name, server.address):
            return
        time.sleep(POLL)
    raise WorkflowError(
        f"Expected {server.name} to answer at {server.address}; it did not; see logs/{server.name.lower()}.log."
    )
