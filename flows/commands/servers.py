"""`ferrule up`, `ui` and `deploy`: servers on this machine, and what runs by itself on them or on others."""

import os
import time
from collections.abc import Callable, Mapping
from subprocess import Popen

import click

POLL = 1  # seconds
TYPES = ("process", "docker", "kubernetes")  # of work pools


def _ports(command: Callable) -> Callable:
    """Add the options that give the servers' ports."""
    command = click.option("--prefect-port", default=4200, show_default=True)(command)
    return click.option("--mlflow-port", default=5000, show_default=True)(command)


@click.command()
@_ports
@click.option("--check", is_flag=True, help="Prove it healthy and exit: the one that runs, or else one for the proof.")
def up(mlflow_port: int, prefect_port: int, check: bool) -> None:
    """Run what prefect.yaml schedules: Prefect, MLflow and a worker on this machine, until Ctrl-C."""
    from flows.project import enter_project
    from flows.standing import find_standing
    from flows.up import expect_sound, operate

    root = enter_project()
    standing = find_standing(root) if check else None
    if standing:
        expect_sound(root, standing)
        _print(standing, "Healthy: servers, worker and deployments.")
        return
    with operate(root, mlflow_port, prefect_port, takes_runs=not check) as operation:
        if check:
            _print(operation.addresses, "Healthy: servers, worker and deployments.")
            return
        _print(operation.addresses, "The worker is ready. Ctrl-C stops everything, runs under way included.")
        _watch(operation.processes)


@click.command()
@_ports
@click.option("--check", is_flag=True, help="Stop as soon as both answer.")
def ui(mlflow_port: int, prefect_port: int, check: bool) -> None:
    """Open the MLflow and Prefect interfaces on this machine, until Ctrl-C; nothing is run."""
    from flows.project import enter_project
    from flows.ui import plan_servers, serve

    root = enter_project()
    servers, addresses = plan_servers(root, mlflow_port, prefect_port)
    with serve(root, *servers) as processes:
        _print(addresses, "" if check else "Ctrl-C stops what was started.")
        if not check:
            _watch(processes)


@click.command()
@click.option("--pool", default="ferrule", show_default=True, help="The work pool; it is made if it is missing.")
@click.option("--type", "type_", type=click.Choice(TYPES), default="process", show_default=True)
@click.option("--image", help="In containers: the image that holds Ferrule and its workflow's packages.")
@click.option("--folder", help="In containers: where the project lies.")
@click.option("--replace", is_flag=True, help="Also where deployments of these names run in another folder or pool.")
def deploy(pool: str, type_: str, image: str | None, folder: str | None, replace: bool) -> None:
    """Apply the deployments of prefect.yaml to the server in PREFECT_API_URL, or to that of `ferrule up`."""
    from flows.project import enter_project
    from flows.standing import find_standing

    if (type_ == "process") == bool(image or folder) or bool(image) != bool(folder):
        raise click.UsageError("Expected --image and --folder with a pool of containers, and with no other.")
    root = enter_project()
    standing = find_standing(root)
    if standing:
        os.environ.setdefault("PREFECT_API_URL", f"{standing['Prefect']}/api")
    from flows.deployments import Target
    from flows.deployments import deploy as apply

    names = apply(root, Target(pool, type_, image, folder), replace=replace)
    click.echo(f"In the pool {pool} ({type_}): {', '.join(names)}.")
    if not standing:
        click.echo(f"A worker runs them: `prefect worker start --pool {pool}`.")


def _print(addresses: Mapping[str, str], last: str) -> None:
    for name, address in addresses.items():
        click.echo(f"{name:8} {address}")
    if last:
        click.echo(last)


def _watch(processes: Mapping[str, Popen]) -> None:
    """Wait for Ctrl-C; raises WorkflowError where one of the processes ends by itself."""
    from flows.ui import expect_running

    try:
        while True:
            expect_running(processes)
            time.sleep(POLL)
    except KeyboardInterrupt:
        click.echo()
