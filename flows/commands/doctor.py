"""`ferrule doctor`: what is wrong with this installation and project, and what puts it right."""

import os

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@click.option("--strict", is_flag=True, help="Exit 1 also where there are only warnings.")
def doctor(as_json: bool, strict: bool) -> None:
    """Check packages, settings, data, stores, locks, disk, servers and schedules; exit 1 where there is an error."""
    from flows.doctor import examine
    from flows.project import find_root
    from flows.standing import ADDRESSES, FOLDER, find_standing

    root = find_root()
    os.chdir(root)
    standing = find_standing(root) if (root / FOLDER / ADDRESSES).exists() else None  # asking makes its lock file
    if standing:
        os.environ.setdefault("PREFECT_API_URL", f"{standing['Prefect']}/api")
    diagnosis = examine(root)
    click.echo(diagnosis.as_json() if as_json else diagnosis.as_text())
    if not diagnosis.is_sound(strict):
        raise click.exceptions.Exit(1)
