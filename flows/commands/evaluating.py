"""`ferrule evaluate` and `ferrule reproduce`: a model on other data, and a version made once more."""

import json
import os
from pathlib import Path

import click

_PATH = click.Path(path_type=Path)
DIFFERS = 3  # exit status; 2 is what a wrong option ends with


@click.command()
@click.option(
    "--data", required=True, type=_PATH, metavar="PATH", help="Labelled face crops: a CSV, folder or archive."
)
@click.option(
    "--model",
    "which",
    default="auto",
    show_default=True,
    metavar="MODEL",
    help="auto (the champion where there is one, else the model that ships), pretrained, an alias, a version, or the "
    "folder of an exported model.",
)
@click.option(
    "--map",
    "mappings",
    multiple=True,
    metavar="LABEL=CLASS",
    help="What a label of the data stands for; CLASS may be drop.",
)
@click.option(
    "--out", type=_PATH, metavar="FOLDER", help="Also write scores, predictions and pictures into this folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def evaluate(data: Path, which: str, mappings: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Score a model on labelled images from elsewhere; copies of what it was trained on are scored apart."""
    from ferrule.errors import ParameterError
    from ferrule.models import is_folder
    from flows.evaluation import check_folder, evaluate_elsewhere
    from flows.project import enter_project

    data, out = _absolute(data), out and _absolute(out)
    which = str(_absolute(Path(which))) if is_folder(which) else which  # before the root becomes the current folder
    try:
        if out:
            check_folder(out, data)
        evaluation = evaluate_elsewhere(enter_project(), data, which, mappings)
    except ParameterError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(json.dumps(evaluation.report, indent=2))
    else:
        from flows.versions import print_markdown

        print_markdown(evaluation.describe())
    if out:
        click.echo(evaluation.write(out), err=as_json)


def _absolute(path: Path) -> Path:
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111  # keeps an unknown ~user


@click.command()
@click.argument("version")
@click.option("--into", type=_PATH, metavar="FOLDER", help="A new folder (default: beside the project).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def reproduce(version: str, into: Path | None, as_json: bool) -> None:
    """Make a registered VERSION once more from its commit, data and parameters, and compare hashes and scores.

    Exit 0 where it is bit-equal, or each score within its stated interval; 3 where it is not.
    """
    from ferrule.reproduction import DIFFERENT
    from flows.project import enter_project
    from flows.reproduce import reproduce_version
    from flows.versions import print_markdown

    into = into and _absolute(into)
    done = reproduce_version(enter_project(), version, into, tell=lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(json.dumps(done.as_dict(), indent=2))
    else:
        print_markdown(done.describe())
    if done.verdict == DIFFERENT:
        raise click.exceptions.Exit(DIFFERS)
