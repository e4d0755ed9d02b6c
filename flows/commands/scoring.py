"""`ferrule score` and `ferrule labels`: predictions for new images, and the truth about them once it is known."""

import os
from pathlib import Path

import click


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--version", help="A version's number, in place of the champion.")
@click.option("--alias", help="The version that has this alias, in place of the champion.")
@click.option("--again", is_flag=True, help="Also what another version has scored.")
def score(path: Path | None, version: str | None, alias: str | None, again: bool) -> None:
    """Score the images at PATH (a CSV, Parquet file, folder or archive), or all that is new in scoring/inbox/.

    Exit 0 where all was scored, 1 where an input could not be, 2 on a wrong option or path.
    """
    if version and alias:
        raise click.UsageError("Expected --version or --alias; got both; give one.")
    source = path and Path(os.path.expanduser(path)).absolute()  # noqa: PTH111  # keeps an unknown ~user
    if source and not source.exists():
        raise click.UsageError(f"Expected a file or folder at {source}; there is none; check the path.")
    from ferrule.registry.versions import CHAMPION, describe_version
    from flows.project import enter_project
    from flows.ui import ensure_prefect
    from pipelines.params import load_params

    root, which = enter_project(), version or alias or CHAMPION
    describe_version(root, load_params(root).register.model_name, which)  # or a slip would be a failure of the flow
    ensure_prefect(root)
    from flows.logs import reporting_plainly
    from flows.report import print_scoring
    from flows.scoring import IncompleteError, score_inbox

    try:
        with reporting_plainly():
            runs = score_inbox(root, source=source, which=which, again=again)
    except IncompleteError as error:
        print_scoring(error.runs)
        raise
    print_scoring(runs)


@click.group()
def labels() -> None:
    """Say what scored images truly show, as it becomes known."""


@labels.command()
@click.argument("file", type=click.Path(path_type=Path))
def add(file: Path) -> None:
    """Add the labels in FILE: a CSV with pixel_hash (or source_file and source_row) and label, or labelled images."""
    file = Path(os.path.expanduser(file)).absolute()  # noqa: PTH111
    from flows.project import enter_project

    root = enter_project()
    from ferrule.scoring.labels import add_labels

    click.echo(add_labels(root, file).sentence)
