"""Back to the former champion, in one step, with the reason in the ledger."""

from pathlib import Path

import numpy as np

from ferrule.errors import RegistryError
from ferrule.registry.aliases import (
    CHAMPION,
    ROLLBACK,
    carry_out,
    list_champions,
    list_former,
    open_decision,
    read_history,
    reconcile,
)
from ferrule.registry.versions import find_version, load_version
from ferrule.samples import IMAGE_SIZE
from ferrule.store import has_store
from flows.comparing import use_backend
from flows.notifications import notify
from pipelines.params import load_params


def roll_back(root: Path, why: str, to: str | None = None) -> str:
    """Let `champion` mean the version that held it before, or version `to`; return what was done, as a sentence.

    Raises RegistryError, and moves nothing, where there is no such version, it never was the champion (then it has not
    passed the gate), or it does not load any more.
    """
    params = load_params(root)
    name = params.register.model_name
    use_backend(params)
    if not has_store(root):
        raise RegistryError(f"Expected versions of {name!r}; there is none; run `ferrule run` first.")
    reconcile(root, name)
    now = find_version(root, name, CHAMPION)
    to = to or _find_former(root, name)
    if now is not None and now.version == to:
        raise RegistryError(f"Expected another version than the champion; version {to} is it already.")
    _expect_former_champion(root, name, to)
    _expect_working(root, name, to)
    run_id = open_decision(root, name, ROLLBACK, now.version if now else None, to)
    carry_out(root, name, run_id, why=why)
    before = f"it was version {now.version}" if now else "there was none"
    sentence = f"Version {to} is the champion again; {before}. {why.rstrip('.')}."
    notify(root, "rollback", sentence, {"model": name, "version": to, "champion_before": now and now.version})
    return sentence


def _find_former(root: Path, name: str) -> str:
    """Return the last champion before this one that was not deleted."""
    former = next((each for each in list_former(read_history(root, name)) if find_version(root, name, each)), None)
    if former is None:
        raise RegistryError(
            "Expected a champion before this one; the ledger knows none; `ferrule registry history` shows what there "
            "was, and `ferrule rollback --to VERSION --why TEXT` names one."
        )
    return former


def _expect_former_champion(root: Path, name: str, version: str) -> None:
    """Raise RegistryError where the version is gone, or neither it nor another of its bytes was the champion."""
    info = find_version(root, name, version) if version.isdecimal() else None
    if info is None:
        raise RegistryError(
            f"Expected the number of a version of {name!r}; {version} is none; see `ferrule registry list`."
        )
    moves = list_champions(read_history(root, name))
    if not any(entry.brought(version, info.model_md5) for entry in moves):
        raise RegistryError(
            f"Expected a version that was the champion before; version {version} never was, so it has not passed the "
            "gate; check out its commit (`ferrule registry list`) and run `ferrule run`, which puts it there."
        )


def _expect_working(root: Path, name: str, version: str) -> None:
    """Raise RegistryError where the version cannot be loaded and asked: a broken champion helps nobody at night."""
    try:
        load_version(root, name, version).predict(np.zeros((1, IMAGE_SIZE, IMAGE_SIZE), np.uint8))
    except Exception as error:  # whatever a model's own code raises
        raise RegistryError(
            f"Expected version {version} to load and answer; it does not ({error!r}); choose another (--to)."
        ) from error
