"""`ferrule run`, `promote`, `status` and `results`: make a model, and see what was made."""

import time
from pathlib import Path

import click


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
@click.option("--approve", is_flag=True, help="promotion.mode manual: make it the champion.")
@click.option("--refuse", is_flag=True, help="promotion.mode manual: leave the champion.")
@click.option("--why", metavar="TEXT", default="", help="With either: the reason; it goes into the ledger.")
def promote_command(approve: bool, refuse: bool, why: str) -> None:
    """Make the challenger the champion if it passes the gate; exit 1 with the reasons if it does not."""
    answered = approve or refuse
    if (approve and refuse) or answered != bool(why.strip()):
        raise click.UsageError("Expected one of --approve and --refuse together with --why TEXT, or none of the three.")
    from flows.project import enter_project

    root = enter_project()
    from flows.ui import ensure_prefect

    ensure_prefect(root)
    from flows.logs import reporting_plainly
    from flows.promotion import answer_challenger, promote_challenger

    with reporting_plainly():
        decision = answer_challenger(root, approve, why) if answered else promote_challenger(root)
    click.echo(decision.sentence)
    if refuse and not decision.refused:
        click.echo("It is too late to refuse it: `ferrule rollback --why TEXT` takes it back.")
    if decision.refused != refuse:
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
@click.option("--seeds", is_flag=True, help="Print mean and spread over the seeds of each recipe instead.")
def results(write: Path | None, line: bool, seeds: bool) -> None:
    """Print the scores of the last evaluation, with their intervals, as a Markdown table."""
    from flows.project import enter_project
    from flows.results import results_line, results_table, seeds_table, write_results

    if (write is not None) + line + seeds > 1:
        raise click.UsageError("Expected one of --write, --line and --seeds; got more; run the command for each.")
    write = write and write.absolute()
    root = enter_project()
    if write:
        write_results(root, write)
    else:
        show = results_line if line else seeds_table if seeds else results_table
        click.echo(show(root))
