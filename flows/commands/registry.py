"""`ferrule registry`: versions of the model."""

import click


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
