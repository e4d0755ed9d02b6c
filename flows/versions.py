"""What `ferrule registry` prints and writes: the versions, the ledger, two versions beside each other."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from ferrule.errors import RegistryError
from ferrule.registry.aliases import read_history
from ferrule.registry.ledger import read_report
from ferrule.registry.versions import VersionInfo, list_versions
from ferrule.store import has_store
from flows.comparing import Pairing, read_images
from pipelines.params import load_params

SCORES = {"test_accuracy": "test accuracy", "test_macro_f1": "test macro F1", "test_ece": "calibration error"}
REASON = 160  # characters of a reason in the table; `print_entry` has all of it


def print_versions(root: Path) -> None:
    """Print the versions, newest first; raises RegistryError where there is none."""
    name = load_params(root).register.model_name
    versions = list_versions(root, name) if has_store(root) else []
    if not versions:
        raise RegistryError(f"Expected versions of {name!r}; there is none; run `ferrule run` first.")
    table = _table(f"Versions of {name}, scores with their 95 % intervals")
    for column in ("version", "alias", *SCORES.values(), "recipe", "validated", "commit"):
        table.add_column(column)
    for version in versions:
        scores = [_score(version, key) for key in SCORES]
        tags = [version.tags.get(f"ferrule.{key}", "") for key in ("recipe", "validated", "git_commit")]
        table.add_row(version.version, ", ".join(version.aliases), *scores, *tags[:2], tags[2][:9])
    _console().print(table)


def print_history(root: Path) -> None:
    """Print the ledger, oldest first."""
    name = load_params(root).register.model_name
    entries = read_history(root, name)
    if not entries:
        raise RegistryError(f"Expected a ledger of {name!r}; it is empty; run `ferrule run` first.")
    table = _table(f"Aliases of {name}: who held which, when (UTC) and why")
    for column in ("", "when", "action", "alias", "from", "to", "outcome", "who", "why"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        why = entry.why if len(entry.why) <= REASON else entry.why[: REASON - 1] + "…"
        moved = (entry.before or "none", entry.after or "none")
        when = entry.when[:16].replace("T", " ")
        table.add_row(str(entry.number), when, entry.action, entry.alias, *moved, entry.state, entry.who, why)
    _console().print(table)


def print_entry(root: Path, number: int) -> None:
    """Print one entry of the ledger whole: its facts, and what was found where two versions were compared."""
    name = load_params(root).register.model_name
    entry = next((each for each in read_history(root, name) if each.number == number), None)
    if entry is None:
        raise RegistryError(
            f"Expected an entry of {name!r}; there is no number {number}; see `ferrule registry history`."
        )
    moved = f"{entry.alias} from {entry.before or 'none'} to {entry.after or 'none'}"
    facts = f"**Entry {number}: {entry.action} of {moved}, {entry.state}**, by {entry.who}, {entry.when} UTC."
    print_markdown(f"{facts}\n\n{read_report(root, entry.run_id) or entry.why}")  # the report begins with the reason


def tell_history(root: Path) -> str:
    """Return the ledger as JSON, oldest first, for scripts."""
    return json.dumps([asdict(entry) for entry in read_history(root, load_params(root).register.model_name)], indent=2)


def print_markdown(text: str) -> None:
    """Print Markdown with its tables drawn."""
    _console().print(Markdown(text))


def write_disagreements(root: Path, pairing: Pairing, folder: Path) -> str:
    """Write the images on which the two disagree: a table, and a sheet of faces; return where, as a sentence."""
    from ferrule.charts.disagreements import disagreement_sheet
    from ferrule.charts.style import save_figure

    table = pairing.list_disagreements()
    images = read_images(root, table.merge(pairing.images[["sample_id", "pixel_hash"]], on="sample_id"))
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "disagreements.csv", index=False)
    save_figure(disagreement_sheet(images, table, pairing.one, pairing.other), folder / "disagreements.png")
    return (
        f"Written to {folder}: disagreements.csv with {len(table):,} images, and disagreements.png with some of them. "
        "The sheet shows faces of the data set: keep it out of git."
    )


def _score(version: VersionInfo, key: str) -> str:
    """Return a score as "68.5 % (67.0 to 70.0)", or nothing where it is not known."""
    if key not in version.metrics:
        return ""
    value, low, high = (100 * version.metrics.get(f"{key}{end}", float("nan")) for end in ("", "_low", "_high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")


def _console() -> Console:
    """Give a console as wide as the terminal, or wide enough for the tables where the output is a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, 160))
