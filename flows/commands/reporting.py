"""`ferrule report`: the page on the last run, or its Markdown for a pull request."""

from pathlib import Path

import click


@click.command()
@click.option("--markdown", is_flag=True, help="Print it as Markdown, without images, for a pull request.")
@click.option("--against", metavar="REV|PATH", help="With --markdown: also how its scores differ from another run's.")
def report(markdown: bool, against: str | None) -> None:
    """Open the page on the last run in the browser, and print where it is."""
    if against and not markdown:
        raise click.UsageError("Expected --against together with --markdown; got it alone; add --markdown.")
    if against and Path(against).exists():
        against = str(Path(against).absolute())
    from flows.project import enter_project

    root = enter_project()
    if not markdown:
        from flows.pages import show_report

        click.echo(show_report(root))
        return
    from ferrule.report.render import render_markdown
    from flows.differences import tell_changes
    from pipelines.params import load_params
    from pipelines.report import read_report

    params = load_params(root)
    changes = tell_changes(root, params, against) if against else ""
    click.echo(render_markdown(read_report(params, root), changes))
