"""`ferrule registry` and `ferrule rollback`: versions of the model, and who held which alias."""

from pathlib import Path

import click


@click.group()
def registry() -> None:
    """See and compare versions of the model, and who held which alias; make and use the one that ships."""


@registry.command("list")
def list_command() -> None:
    """List the versions, newest first, with their test scores and who of them holds which alias."""
    from flows.project import enter_project

    root = enter_project()
    from flows.versions import print_versions

    print_versions(root)


@registry.command("history")
@click.argument("entry", type=int, required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the whole ledger as JSON, for scripts.")
def history_command(entry: int | None, as_json: bool) -> None:
    """Tell who let which alias mean which version, when and why, and what was refused; all of it for one ENTRY."""
    if entry is not None and as_json:
        raise click.UsageError("Expected the number of an entry or --json; got both.")
    from flows.project import enter_project

    root = enter_project()
    from flows.versions import print_entry, print_history, tell_history

    if as_json:
        click.echo(tell_history(root))
    elif entry is not None:
        print_entry(root, entry)
    else:
        print_history(root)


@registry.command("compare")
@click.argument("one")
@click.argument("other")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the images they disagree on into this folder.")
def compare_command(one: str, other: str, out: Path | None) -> None:
    """Compare two versions, by number or alias, on the test images that are new to both."""
    from flows.project import enter_project

    out = out and out.absolute()
    root = enter_project()
    from flows.comparing import compare_versions
    from flows.versions import print_markdown, write_disagreements

    pairing = compare_versions(root, one, other)
    print_markdown(pairing.describe())
    if out:
        click.echo(write_disagreements(root, pairing, out))


@registry.command("reconcile")
def reconcile_command() -> None:
    """Bring aliases and ledger together after an interruption, or a move in MLflow by hand."""
    from flows.project import enter_project

    root = enter_project()
    from ferrule.registry.aliases import reconcile
    from pipelines.params import load_params

    for sentence in reconcile(root, load_params(root).register.model_name) or ["Aliases and ledger agree."]:
        click.echo(sentence)


@click.command()
@click.option("--to", metavar="VERSION", help="A version that was the champion before (default: the last one).")
@click.option("--why", required=True, metavar="TEXT", help="The reason; it goes into the ledger.")
def rollback(to: str | None, why: str) -> None:
    """Make the former champion the champion again."""
    if not why.strip():
        raise click.UsageError("Expected --why TEXT with a reason; it is empty.")
    from flows.project import enter_project

    root = enter_project()
    from flows.rollback import roll_back

    click.echo(roll_back(root, why, to))


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
