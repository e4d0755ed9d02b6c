"""`ferrule ui`: servers on this machine."""

import time

import click


@click.command()
@click.option("--mlflow-port", default=5000, show_default=True)
@click.option("--prefect-port", default=4200, show_default=True)
@click.option("--check", is_flag=True, help="Stop as soon as both answer.")
def ui(mlflow_port: int, prefect_port: int, check: bool) -> None:
    """Open the MLflow and Prefect interfaces on this machine, until Ctrl-C."""
    from flows.project import enter_project
    from flows.ui import serve_interfaces

    with serve_interfaces(enter_project(), mlflow_port, prefect_port) as addresses:
        for name, address in addresses.items():
            click.echo(f"{name:8} {address}")
        if not check:
            click.echo("Ctrl-C stops both.")
            _wait_for_interrupt()


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo()
