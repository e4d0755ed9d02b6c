"""`ferrule monitor`: a look at drift, by hand."""

import click

DRIFT = 3  # exit status; 2 is what a wrong option ends with


@click.command()
def monitor() -> None:
    """Compare what the champion scored with its reference; exit 0 where it is quiet, 3 on drift, 1 on an error.

    The report is a page in monitoring/. The exit status tells of this look alone: without new images or labels there
    is nothing to look at, nothing changes, and it is 0, also where the last look found drift.
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
        raise click.exceptions.Exit(DRIFT)
