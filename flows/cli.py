"""The workflow's commands: data, run, promote, status, ui. Each imports what it needs when it runs, not before."""

import os
import time
from pathlib import Path

import click


@click.group()
def data() -> None:
    """Put raw data into the project, versioned by DVC."""


@data.command()
@click.option("--replace", is_flag=True, help="Replace other data (it stays in DVC's cache).")
def sample(replace: bool) -> None:
    """Draw the embedded synthetic sample."""
    from flows.data import draw_sample_data
    from flows.project import enter_project

    click.echo(draw_sample_data(enter_project(), replace))


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
def use(path: Path) -> None:
    """Use the data at PATH: fer2013.csv, ICML csv, image folders, or an archive of any of these."""
    from flows.data import use_data
    from flows.project import enter_project

    path = Path(os.path.expanduser(path)).absolute()  # noqa: PTH111  # keeps an unknown ~user; as the person wrote it, before the root becomes the current folder
    click.echo(use_data(enter_project(), path))


@data.command()
@click.argument("slug")
def kaggle(slug: str) -> None:
    """Download SLUG from Kaggle (owner/dataset, or a competition) and use it."""
    from flows.data import fetch_kaggle_data
    from flows.project import enter_project

    click.echo(fetch_kaggle_data(enter_project(), slug))


@click.command()
@click.option("--promote/--no-promote", default=True, help="Ask for promotion at the end (default: yes).")
@click.option("--recipe", help="Choose a recipe of params.yaml (it is written there) and train by it.")
def run(promote: bool, recipe: str | None) -> None:
    """Run every stage that must, register the model, and promote it if it passes the gate."""
    from flows.project import enter_project

    root = enter_project()
    start = time.monotonic()
    if recipe:
        from pipelines.params import choose_recipe

        click.echo(choose_recipe(root, recipe))
    from flows.ui import ensure_prefect

    ensure_prefect(root)
    from flows.logs import reporting_plainly
    from flows.promotion import promote_challenger
    from flows.report import print_result
    from flows.training import train_challenger

    with reporting_plainly():
        runs = train_challenger(root)
        decision = promote_challenger(root) if promote else None
    print_result(root, runs, decision, time.monotonic() - start)


@click.command("promote")
def promote_command() -> None:
    """Make the challenger the champion if it passes the gate; exit 1 with the reasons if it does not."""
    from flows.project import enter_project

    root = enter_project()
    from flows.ui import ensure_prefect

    ensure_prefect(root)
    from flows.logs import reporting_plainly
    from flows.promotion import promote_challenger

    with reporting_plainly():
        decision = promote_challenger(root)
    click.echo(decision.sentence)
    if decision.refused:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def status(as_json: bool) -> None:
    """Tell the data, each stage's state, and who holds which alias."""
    from flows.project import enter_project
    from flows.status import read_status

    current = read_status(enter_project())
    if as_json:
        click.echo(current.as_json())
    else:
        from flows.report import print_status

        print_status(current)


@click.command()
@click.option(
    "--write", type=click.Path(path_type=Path), help="Write the table into this Markdown file, between its marks."
)
@click.option("--line", is_flag=True, help="Print one row for the table in docs/recipes.md instead.")
def results(write: Path | None, line: bool) -> None:
    """Print the scores of the last evaluation, with their intervals, as a Markdown table."""
    from flows.project import enter_project
    from flows.results import results_line, results_table, write_results

    if write and line:
        raise click.UsageError("Expected --write or --line; got both; the row goes into its table by hand.")
    write = write and write.absolute()
    root = enter_project()
    if write:
        write_results(root, write)
    else:
        click.echo(results_line(root) if line else results_table(root))


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


@click.group()
def registry() -> None:
    """Make and use the model that ships with the package."""


@registry.command("export-pretrained")
@click.option("--allow-dirty", is_flag=True, help="Also where the checkout has changes that no commit holds.")
def export_command(allow_dirty: bool) -> None:
    """Make the last run's model the one that ships: write ferrule/pretrained/ (a counted look at the test images)."""
    from flows.project import enter_project

    root = enter_project()
    from flows.pretrained import PLACE, export_pretrained

    click.echo("Rounding the weights and scoring them; this takes as long as the evaluate stage.")
    click.echo(export_pretrained(root, allow_dirty=allow_dirty).describe())
    click.echo(f"Written to {PLACE}/: commit it, and it ships.")


@registry.command("import-pretrained")
def import_command() -> None:
    """Register the model that ships with the package; it is the challenger then."""
    from flows.project import enter_project

    root = enter_project()
    from flows.pretrained import import_pretrained

    version = import_pretrained(root)
    accuracy = 100 * version.metrics["test_accuracy"]
    click.echo(
        f"{version.name} version {version.version} is the challenger now; its test accuracy is {accuracy:.1f} %."
    )
    click.echo("`ferrule promote` makes it the champion if it passes the gate.")


def _wait_for_interrupt() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo()


commands = (data, run, promote_command, status, results, registry, ui)
