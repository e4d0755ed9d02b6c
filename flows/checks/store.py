"""The store of MLflow: whether its database is sound, and whether aliases, versions and files in it fit together.

A local database is read with sqlite3 alone: importing MLflow takes seconds, and opening a store with it may change it.
"""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ferrule.registry.aliases import CHALLENGER, CHAMPION, check_ledger
from ferrule.registry.ledger import EXPERIMENT as LEDGER
from ferrule.store import EXPERIMENT, find_database, is_own, is_server, store_uri
from flows.checks import Finding
from flows.checks.servers import ask_mlflow
from flows.checks.settings import read_params

_ARTIFACTS = "mlruns/artifacts"
_DELETED = "Deleted_Internal"  # what MLflow calls the stage of a version that was deleted


@dataclass(frozen=True)
class Registry:
    """The versions of one model, each with where its files are, and which version each alias means."""

    aliases: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def check_database(root: Path) -> list[Finding]:
    """See that the database opens, is whole, and has the schema of the MLflow that is installed."""
    database = find_database(root)
    if database is None:
        return []
    if not database.is_file():
        return _tell_missing(root, database)
    try:
        with _reading(database) as connection:
            fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            schema = str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return [Finding("warning", f"{database} is locked: a process is writing to it.", "ferrule doctor")]
        fault = str(error)
    except (sqlite3.DatabaseError, TypeError) as error:
        fault = str(error)
    if fault != "ok":
        sentence = f"{database} is damaged ({fault}): restore it from a backup, or start anew without its runs."
        return [Finding("error", sentence, f"mv {database} {database}.damaged && ferrule run")]
    return _compare_schema(database, schema)


def check_experiment(root: Path) -> list[Finding]:
    """See that the experiment that holds every model's run is there, not deleted, and that its files are here."""
    rows = _query(
        find_database(root), "SELECT lifecycle_stage, artifact_location FROM experiments WHERE name = ?", EXPERIMENT
    )
    if not rows:
        return []
    (stage, location), here = rows[0], (root / _ARTIFACTS).as_uri()
    findings = []
    if stage == "deleted":
        sentence = f"The experiment {EXPERIMENT} was deleted in MLflow; the next command that uses it brings it back."
        findings.append(Finding("warning", sentence, "ferrule status"))
    if location != here and location.endswith(_ARTIFACTS) and is_own(root):
        sentence = f"The project was moved or copied from {location}: the next command that uses the store corrects it."
        findings.append(Finding("note", sentence, "ferrule status"))
    return findings


def check_aliases(root: Path) -> list[Finding]:
    """See that each alias means a version that exists, that there is a champion, and the last is challenger."""
    registry = read_registry(root)
    return compare_aliases(registry, _read_noted(root)) if registry else []


def check_files(root: Path) -> list[Finding]:
    """See that the files of each version are where the registry says, as far as that is a folder here."""
    registry = read_registry(root) or Registry()
    findings = []
    for version, place in registry.places.items():
        folder = _folder(root, place)
        if folder and not (folder / "MLmodel").is_file():
            held = sorted(alias for alias, holder in registry.aliases.items() if holder == version)
            who = f" ({', '.join(held)})" if held else ""
            sentence = f"Version {version}{who} has lost its files: {folder} holds no model; restore it from a backup."
            findings.append(Finding("error" if held else "warning", sentence, "ferrule registry history"))
    return findings


def check_promotions(root: Path) -> list[Finding]:
    """See that the ledger of promotions agrees with the aliases, where there is one and all else is sound."""
    params = read_params(root)
    if params is None or not _has_ledger(root) or check_database(root) + check_experiment(root):
        return []
    if any(finding.severity == "error" for finding in check_aliases(root)):
        return []  # the ledger would say it again
    found = check_ledger(root, params.register.model_name)
    return [Finding("error", finding.sentence, finding.remedy) for finding in found]


def compare_aliases(registry: Registry, noted: dict[str, str]) -> list[Finding]:
    """Return what does not fit; `noted` is what the last register wrote down (version.json), empty where it did not."""
    findings = [
        Finding("error", f"The alias {alias} means version {version}, which does not exist.", _REMEDIES.get(alias, ""))
        for alias, version in registry.aliases.items()
        if version not in registry.places
    ]
    if registry.places and CHAMPION not in registry.aliases:
        sentence = "No version is the champion, so that nothing can be served or scored."
        findings.append(Finding("warning", sentence, "ferrule promote"))
    challenger = registry.aliases.get(CHALLENGER)
    if noted and challenger != noted["version"]:
        sentence = f"The last run registered version {noted['version']}; the challenger is {challenger or 'none'}."
        findings.append(Finding("warning", sentence, "ferrule run"))
    return findings


_REMEDIES = {CHAMPION: "ferrule rollback --why 'The champion was deleted'", CHALLENGER: "ferrule run"}


def read_registry(root: Path) -> Registry | None:
    """Return what the registry holds of the model of params.yaml, or None where one of the two cannot be read."""
    params = read_params(root)
    if params is None:
        return None
    name = params.register.model_name
    if is_server(store_uri(root)):
        held = ask_mlflow(root, "registered-models/get", {"name": name}).get("registered_model")
        found = ask_mlflow(root, "model-versions/search", {"filter": f"name = '{name}'"}).get("model_versions", [])
        named = {alias["alias"]: str(alias["version"]) for alias in (held or {}).get("aliases", [])}
        return Registry(named, {str(version["version"]): "" for version in found}) if held else None
    database = find_database(root)
    versions = _query(
        database,
        "SELECT version, COALESCE(storage_location, source) FROM model_versions WHERE name = ? AND current_stage != ?",
        name,
        _DELETED,
    )
    aliases = _query(database, "SELECT alias, version FROM registered_model_aliases WHERE name = ?", name)
    if versions is None or aliases is None:
        return None
    return Registry({a: str(version) for a, version in aliases}, {str(v): str(place) for v, place in versions})


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
        yield connection


def _query(database: Path | None, statement: str, *values: str) -> list[tuple] | None:
    """Return the rows, or None where the database cannot be read, which `check_database` says."""
    if database is None or not database.is_file():
        return None
    try:
        with _reading(database) as connection:
            return connection.execute(statement, values).fetchall()
    except sqlite3.DatabaseError:
        return None


def _has_ledger(root: Path) -> bool:
    """Tell whether the store has one, so that asking for it makes none."""
    if is_server(store_uri(root)):
        return bool(ask_mlflow(root, "experiments/get-by-name", {"experiment_name": LEDGER}))
    return bool(_query(find_database(root), "SELECT 1 FROM experiments WHERE name = ?", LEDGER))


def _tell_missing(root: Path, database: Path) -> list[Finding]:
    if not _read_noted(root):
        return []  # nothing was registered yet
    sentence = f"{database} is gone, and with it every run, version and counted look: restore it from a backup."
    return [Finding("error", sentence, "ferrule run   # registers the last model again, without the past")]


def _compare_schema(database: Path, schema: str) -> list[Finding]:
    known, newest = read_migrations()
    if schema == newest or not known:
        return []
    if schema in known:
        sentence = f"{database} has the schema of an older MLflow: copy it first, then bring it up to date."
        return [Finding("error", sentence, f"mlflow db upgrade sqlite:///{database}")]
    sentence = f"{database} has the schema of a newer MLflow than is installed."
    return [Finding("error", sentence, "pip install --constraint requirements.lock --editable '.[workflow]'")]


def read_migrations() -> tuple[set[str], str]:
    """Return the schemas that the installed MLflow knows and its own, read from its migrations without importing it."""
    spec = find_spec("mlflow")
    folder = Path(str(spec.origin)).parent / "store" / "db_migrations" / "versions" if spec else Path()
    text = "\n".join(path.read_text() for path in folder.glob("*_*.py"))
    known, former = (
        set(re.findall(rf"^{word} = [\"'](\w+)", text, re.MULTILINE)) for word in ("revision", "down_revision")
    )
    return known, next(iter(known - former), "")


def _folder(root: Path, place: str) -> Path | None:
    """Return the folder that a version's address names, or None for an address elsewhere; a move is followed."""
    if not place.startswith("file:"):
        return None
    path = Path(unquote(urlsplit(place).path))
    _, mark, below = str(path).rpartition(f"{_ARTIFACTS}/")
    return root / _ARTIFACTS / below if mark and is_own(root) else path


def _read_noted(root: Path) -> dict[str, str]:
    """Return what the last register wrote down, or nothing."""
    try:
        noted = json.loads((root / "artifacts" / "register" / "version.json").read_text())
        return {"version": str(noted["version"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
