"""Servers of MLflow and Prefect on loopback: both for a person to look at, Prefect's alone for the time of a run."""

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from ferrule.errors import WorkflowError
from flows.project import stop_group

HOST = "127.0.0.1"
START_TIMEOUT = 90  # seconds
POLL = 0.5  # seconds


@contextlib.contextmanager
def serve_interfaces(root: Path, mlflow_port: int, prefect_port: int) -> Iterator[dict[str, str]]:
    """Start both servers on `root`'s stores, and give their addresses once they answer; stop them at the end.

    Raises WorkflowError where a port is taken or a server does not start.
    """
    from ferrule.store import quieten_mlflow, store_uri

    quieten_mlflow()

    ports = {"MLflow": mlflow_port, "Prefect": prefect_port}
    for name, port in ports.items():
        _expect_free(name, port)
    commands = {
        "MLflow": ["mlflow", "server", "--workers", "1", "--backend-store-uri", store_uri(root)],
        "Prefect": ["prefect", "server", "start"],
    }
    health = {"MLflow": "/health", "Prefect": "/api/health"}
    addresses = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(_server(root, [*command, "--host", HOST, "--port", str(ports[name])], addresses))
            for name, command in commands.items()
        }
        for name, server in servers.items():
            _wait_until_healthy(name, server, addresses[name] + health[name])
        yield addresses


def ensure_prefect(root: Path) -> None:
    """Have a Prefect server on `root`'s database for the rest of this process, unless PREFECT_API_URL names one.

    To be called before Prefect is imported: it reads its settings then, and what it still has to send at exit is sent
    before the server stops. Prefect would start a server by itself, but in our process group, where Ctrl-C ends it
    first and the flow waits for minutes to say goodbye to it.
    """
    if os.environ.get("PREFECT_API_URL"):
        return
    port = _find_free_port()
    address = f"http://{HOST}:{port}"
    command = ["prefect", "server", "start", "--host", HOST, "--port", str(port)]
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    server = stack.enter_context(_server(root, command, {"Prefect": address}))
    _wait_until_healthy("Prefect", server, f"{address}/api/health")
    os.environ["PREFECT_API_URL"] = f"{address}/api"


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _server(root: Path, command: list[str], addresses: dict[str, str]) -> Iterator[subprocess.Popen]:
    program = str(Path(sys.executable).parent / command[0])
    log = (root / "logs").joinpath(f"{command[0]}.log")
    log.parent.mkdir(exist_ok=True)
    # Prefect's page asks port 4200 for its data unless it is told otherwise.
    environment = {**os.environ, "PREFECT_UI_API_URL": f"{addresses['Prefect']}/api"}
    with log.open("w") as stream:
        server = subprocess.Popen(
            [program, *command[1:]],
            cwd=root,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # both servers have workers, which end with their group
        )
        try:
            yield server
        finally:
            stop_group(server)


def _expect_free(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            option = f"--{name.lower()}-port"
            raise WorkflowError(
                f"Expected port {port} free for {name}; it is in use; choose another ({option})."
            ) from error


def _wait_until_healthy(name: str, server: subprocess.Popen, address: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2):  # noqa: S310  # our own address
            return
        time.sleep(POLL)
    raise WorkflowError(f"Expected {name} to answer at {address}; it did not; see logs/{name.lower()}.log.")
