"""What the report says of the run itself: which bytes it is made of, on which machine, and what it cost."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ferrule.report.blocks import Block, Check, Facts, Section, Table, Text
from ferrule.store import has_store, open_store
from ferrule.tracking import ENVIRONMENT_TAG, model_runs

# Tags of a version, and how they are called here.
_TAGS = {
    "ferrule.recipe": "recipe",
    "ferrule.data_md5": "data, MD5",
    "ferrule.dvc_lock": "stages in dvc.lock, SHA-256",
    "ferrule.git_commit": "commit of the code",
    "ferrule.git_dirty": "changed since that commit",
    "ferrule.validated": "data passed validation",
    "ferrule.test_md5": "test images, MD5",
    "ferrule.bundle_md5": "bundle, MD5",
    "ferrule.served_md5": "serving code, MD5",
    "ferrule.flow_run_id": "Prefect flow run",
}
_JOULES = 3.6e6  # a kilowatt-hour


@dataclass(frozen=True)
class Effort:
    """What the store knows of a model's training; None where it does not (another machine trained it, say)."""

    when: datetime | None = None  # it began
    seconds: float | None = None  # of all epochs
    cpu_seconds: float | None = None  # of all cores together
    environment: dict[str, str] | None = None  # as `environment.describe_environment` has it


def read_effort(root: Path, model_md5: str) -> Effort:
    """Return what it took to train the model of these bytes; no store is made by asking."""
    if not has_store(root):
        return Effort()
    client = open_store(root)
    trained = [run for run in model_runs(client, model_md5) if "train_seconds" in run.data.metrics]
    if not trained:
        return Effort()
    run = trained[0]
    epochs = client.get_metric_history(run.info.run_id, "cpu_seconds")
    return Effort(
        when=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        seconds=run.data.metrics["train_seconds"],
        cpu_seconds=sum(each.value for each in epochs) if epochs else None,
        environment=json.loads(run.data.tags.get(ENVIRONMENT_TAG, "null")),
    )


def describe_lineage(
    tags: Mapping[str, str],
    files: Mapping[str, str],
    lock: Mapping[str, Any],
    registered: Mapping[str, str] | None,
    model_md5: str | None,
) -> Section:
    """Return where the model comes from: hashes of data, stages and files, and whether it is the registered one.

    `tags` are those of the version, `files` the SHA-256 of each exported file, `lock` the stages of dvc.lock,
    `registered` version.json, `model_md5` that of the network as it lies in artifacts/.
    """
    known = [(title, tags[name]) for name, title in _TAGS.items() if tags.get(name)]
    if registered:
        known.insert(0, ("version", f"{registered['name']} {registered['version']}"))
    if model_md5:
        known.append(("network, MD5", model_md5))
    known += [(f"{name}, SHA-256", digest) for name, digest in files.items()]
    stages = [
        (stage, out["path"], str(out.get("md5", ""))) for stage, entry in lock.items() for out in entry.get("outs", [])
    ]
    blocks: list[Block] = [
        Text(
            "Equal data, code and parameters give equal bytes, stage by stage. `ferrule reproduce` makes a registered "
            "version again and compares these."
        ),
        Table(("", ""), known, "ll"),
    ]
    if stages:
        blocks.append(Table(("stage", "output", "MD5"), stages, "lll", "What dvc.lock says of each stage", folded=True))
    return Section("lineage", "Lineage", blocks, [*_check_code(tags), *_check_registered(registered, model_md5)])


def describe_machines(trained: Mapping[str, str] | None, here: Mapping[str, str]) -> Section:
    """Return on what the model was trained and the page written, as `environment.describe_environment` has it."""
    names = list(dict.fromkeys([*(trained or {}), *here]))
    if trained is None:
        text = "Of the machine that wrote this page; on which the model was trained, the store does not know."
        return Section("environment", "Environment", [Text(text), _pair_up(names, here)])
    if trained == here:
        text = "The machine and packages that trained the model, and wrote this page."
        return Section("environment", "Environment", [Text(text), _pair_up(names, here)])
    rows = [(name, trained.get(name, ""), here.get(name, "")) for name in names]
    table = Table(("", "trained the model", "wrote this page"), rows, "lll")
    return Section("environment", "Environment", [table])


def _pair_up(names: Iterable[str], values: Mapping[str, str]) -> Table:
    return Table(("", ""), [(name, values[name]) for name in names if name in values], "ll")


def describe_cost(effort: Effort, sizes: Mapping[str, int], watts_per_core: float) -> Section:
    """Return what the training took, and what the model takes: `sizes` are bytes of the exported files by name."""
    rows: list[tuple[str, str, str]] = []
    if effort.seconds is not None:
        rows.append(("training", say_time(effort.seconds), f"begun {effort.when:%Y-%m-%d %H:%M} UTC"))
    if effort.cpu_seconds is not None:
        energy = effort.cpu_seconds * watts_per_core / _JOULES
        rows.append(("processor time", say_time(effort.cpu_seconds), "of all cores together"))
        rows.append(("energy", f"{energy:.3g} kWh", f"at {watts_per_core:g} W a busy core"))
    rows += [(name, f"{size / 1e6:.1f} MB", "exported") for name, size in sizes.items()]
    if effort.seconds is None:
        text = "The store knows no training of this model: it was trained elsewhere, or restored from DVC's cache."
    elif effort.cpu_seconds is None:
        text = "Processor time was not recorded when this model was trained, so its energy is unknown."
    else:
        text = (
            "Energy is processor time by the watts that `report.watts_per_core` in params.yaml states, of the training "
            "alone. It is an estimate: no power was measured."
        )
    return Section("cost", "Cost", [*([Facts(rows)] if rows else []), Text(text)])


def say_time(seconds: float) -> str:
    """Return a duration as "1 h 26 min", "7.1 min" or "12 s"."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _check_code(tags: Mapping[str, str]) -> list[Check]:
    """Return whether a commit holds the code."""
    commit = tags.get("ferrule.git_commit")
    if not commit:
        return [Check("note", "There is no git commit to name: the code that made this model is not pinned.")]
    if tags.get("ferrule.git_dirty") == "true":
        return [Check("note", f"The code differs from commit `{commit[:12]}`: what made this model is in no commit.")]
    return [Check("good", f"Data, code and parameters are pinned, the code by commit `{commit[:12]}`.")]


def _check_registered(registered: Mapping[str, str] | None, model_md5: str | None) -> list[Check]:
    if not registered or not model_md5:
        return []
    name = f"{registered['name']} version {registered['version']}"
    if registered["model_md5"] == model_md5:
        return [Check("good", f"The network that was scored is the registered one, {name}, byte for byte.")]
    return [Check("bad", f"The network in artifacts/ is **not** the registered one, {name}: run `ferrule run`.")]
