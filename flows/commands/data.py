"""`ferrule data`: raw data into the project."""

import os
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
