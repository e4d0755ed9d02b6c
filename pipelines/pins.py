"""Which data the project has: what DVC's files say of it."""

from pathlib import Path
from typing import Any

import yaml

from ferrule.errors import WorkflowError


def read_data_md5(root: Path) -> str | None:
    """Return the MD5 that data.dvc pins."""
    path = root / "data.dvc"
    try:
        return read_yaml(path)["outs"][0]["md5"] if path.is_file() else None
    except (KeyError, IndexError, TypeError) as error:
        raise WorkflowError(f"Expected an MD5 in {path}; there is none; restore it (git checkout data.dvc).") from error


def read_ingested_md5(root: Path) -> str | None:
    """Return the MD5 of data/ as ingest read it, which dvc.lock holds."""
    stages = read_yaml(root / "dvc.lock").get("stages") or {}
    return next((dep["md5"] for dep in stages.get("ingest", {}).get("deps", []) if dep["path"] == "data"), None)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return what a YAML file says, nothing where it is missing; raises WorkflowError where it is broken."""
    try:
        return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise WorkflowError(f"Expected YAML in {path}; it is broken; restore it (git checkout {path.name}).") from error
