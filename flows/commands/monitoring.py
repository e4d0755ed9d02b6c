"""`ferrule monitor`: a look at drift, by hand."""

import click


@click.command()
def monitor() -> None:
    """Compare what the champion scored with its reference; exit 0 where it is quiet, 2 on drift, 1 on an error.

    The report is a page in monitoring/. Looking again without new images or labels changes nothing.
    """
    from flows.project import enter_project

    root = enter_project()
    from flows.ui import ensure_prefect

    ensure_prefect(root)
    from flows.logs import reporting_plainly
    from flows.monitoring import monitor_champion
    from flows.report import print_look

    with reporting_plainly():
        look = monitor_champion(root)
    print_look(look)
    if look.drifted:
        raise click.exceptions.Exit(2)
