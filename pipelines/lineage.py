"""Where a model comes from, as tags: the data, the stages and the code behind it, whether the data was validated."""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from ferrule.digests import digest_json
from ferrule.registry.versions import DATA_TAG, VALIDATED_TAG
from ferrule.tracking import RECIPE_TAG, flow_tags
from pipelines.params import PARAMS_FILE
from pipelines.pins import read_data_md5, read_ingested_md5, read_yaml

# What a registered model depends on; its own entry in dvc.lock is written after it, and the others do not matter to it.
_STAGES = ("ingest", "validate", "audit", "augment", "split", "noise", "train", "evaluate")
_OWN_TAGS = ("dvc.lock", "data.dvc")  # files that a run changes; what they say has a tag of its own


def read_lineage(root: Path) -> dict[str, str]:
    """Return the tags of a model that was made by the stages in `root`; what is not known there has none."""
    tags = {
        DATA_TAG: read_ingested_md5(root) or read_data_md5(root),
        "ferrule.dvc_lock": digest_lock(root),
        RECIPE_TAG: read_yaml(root / PARAMS_FILE).get("recipe"),
        VALIDATED_TAG: read_validation(root),
        **_read_commit(root),
    }
    return flow_tags() | {name: value for name, value in tags.items() if value is not None}


def digest_lock(root: Path) -> str | None:
    """Return the SHA-256 of the entries of dvc.lock for the stages before register, as canonical JSON."""
    entries = read_entries(root)
    return digest_json(entries) if entries else None


def read_entries(root: Path) -> dict[str, Any]:
    """Return the entries of dvc.lock for the stages before register: what each depended on and gave, with MD5s."""
    stages = read_yaml(root / "dvc.lock").get("stages") or {}
    return {name: stages[name] for name in _STAGES if name in stages}


def read_validation(root: Path) -> str | None:
    """Return "true" or "false": whether the data passed the stage validate."""
    path = root / "artifacts" / "validate" / "result.json"
    return str(bool(json.loads(path.read_text())["success"])).lower() if path.is_file() else None


def _read_commit(root: Path) -> dict[str, str | None]:
    """Return the git commit of the checkout, and whether its code differs from that; nothing without .git."""
    if not (root / ".git").exists():  # an unpacked archive may lie inside somebody else's checkout
        return {}
    others = [f":(exclude){name}" for name in (*_OWN_TAGS, PARAMS_FILE)]
    changes = _ask_git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *others)
    commit = _ask_git(root, "rev-parse", "--verify", "HEAD")
    dirty = bool(changes) or _changes_params(root)
    return {"ferrule.git_commit": commit, "ferrule.git_dirty": str(dirty).lower()} if commit else {}


def _changes_params(root: Path) -> bool:
    """Tell whether params.yaml differs from the commit's in more than `recipe`, which `ferrule run --recipe` writes."""
    committed = yaml.safe_load(_ask_git(root, "show", f"HEAD:./{PARAMS_FILE}") or "") or {}
    return committed | {"recipe": ""} != read_yaml(root / PARAMS_FILE) | {"recipe": ""}


def _ask_git(root: Path, *command: str) -> str | None:
    """Return what git says, or None where it fails or is not installed."""
    try:
        return subprocess.run(["git", "-C", root, *command], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
