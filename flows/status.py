"""Where the project stands: what the last run made, each stage's state, and who holds which alias."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ferrule.errors import WorkflowError
from flows.dag import Dag, read_dag
from flows.locks import read_running_stages
from flows.project import BUSY, run_dvc
from pipelines.pins import read_data_md5

ALIASES = ("challenger", "champion")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Summary:
    """What the last run made, read from the artifacts; None where a stage has not run."""

    images_in: int | None
    rejected: int | None
    validated: str | None
    near_groups: int | None
    generated: int | None
    sizes: dict[str, int] = field(default_factory=dict)
    accuracy: dict[str, float] | None = None
    accuracy_tta: dict[str, float] | None = None
    accuracy_leak_free: dict[str, float] | None = None
    macro_f1: dict[str, float] | None = None

    def rows(self) -> list[tuple[str, str]]:
        """Return (name, value) pairs for a table; only what is known."""
        named = [
            ("images in", _count(self.images_in)),
            ("rejected", _count(self.rejected)),
            ("validated", self.validated),
            ("near-duplicate groups", _count(self.near_groups)),
            ("generated", _count(self.generated)),
            ("train / val / test", self.sizes and " / ".join(f"{self.sizes.get(s, 0):,}" for s in SPLITS)),
            ("dropped (twins, blanks)", _count(self.sizes.get("dropped"))),
            ("test accuracy", _score(self.accuracy)),
            ("  with test-time averaging", _score(self.accuracy_tta)),
            ("  on images without a twin", _score(self.accuracy_leak_free)),
            ("test macro F1", _score(self.macro_f1)),
        ]
        return [(name, str(value)) for name, value in named if value]


@dataclass(frozen=True)
class Status:
    """The whole answer of `ferrule status`."""

    data: dict[str, Any]
    stages: dict[str, str]
    summary: Summary
    aliases: dict[str, dict[str, Any] | None]

    def as_json(self) -> str:
        """Return the status as JSON, for scripts."""
        return json.dumps(
            {"data": self.data, "stages": self.stages, "result": asdict(self.summary), **self.aliases}, indent=2
        )


def read_status(root: Path) -> Status:
    """Read the state of data, stages and registry under `root`; it starts nothing and changes nothing."""
    stages, summary = read_stage_states(root), read_summary(root)
    if stages.get("register") == "current" and not registry_holds_last(root):
        stages["register"] = "missing"  # DVC sees version.json, but not that the store behind it was emptied or changed
    ingested, divided = stages["ingest"] == "current", stages["split"] == "current"
    data = {
        "md5": read_data_md5(root),
        "present": (root / "data").is_dir(),
        "images": summary.images_in if ingested else None,  # what an earlier ingest counted may be of other data
        "rejected": summary.rejected if ingested else None,
        "splits": summary.sizes if divided else None,
    }
    return Status(data, stages, summary, {alias: read_alias(root, alias) for alias in ALIASES})


def read_stage_states(root: Path) -> dict[str, str]:
    """Return each stage's state.

    `missing`: it has no output; `changed`: what it depends on differs; `behind`: a stage before it is one of these, so
    it may have to run; `current`: none of them. While DVC runs stages nothing is known of others: `running`, `unknown`.
    """
    dag = read_dag(root)
    try:
        stale = ask_dvc(root).keys()
    except WorkflowError as error:
        if BUSY not in str(error):
            raise
        running = read_running_stages(root)
        return {stage: "running" if stage in running else "unknown" for stage in dag.stages}
    return derive_states(root, dag, stale)


def derive_states(root: Path, dag: Dag, stale: Collection[str]) -> dict[str, str]:
    """Return each stage's state from those that DVC calls changed."""
    states: dict[str, str] = {}
    for stage in dag.stages:
        if not (root / "artifacts" / stage).exists():
            states[stage] = "missing"
        elif stage in stale:
            states[stage] = "changed"
        else:
            behind = any(states[parent] != "current" for parent in dag.upstream[stage])
            states[stage] = "behind" if behind else "current"
    return states


def ask_dvc(root: Path) -> dict[str, Any]:
    """Return what `dvc status` says has changed, a key a stage or file; raises WorkflowError where it cannot."""
    printed = run_dvc(root, "--wait-for-lock", "status", "--json", patience=2)
    return json.loads(printed[printed.index("{") :])


def read_summary(root: Path) -> Summary:
    """Read the summary of the last run from `root`/artifacts."""
    artifacts = root / "artifacts"
    samples, rejects = _rows(artifacts / "ingest/samples.parquet"), _rows(artifacts / "ingest/rejects.parquet")
    generated = _rows(artifacts / "augment/samples.parquet")
    metrics = _json(artifacts / "evaluate/metrics.json")
    return Summary(
        images_in=None if samples is None else samples + (rejects or 0),
        rejected=rejects,
        validated=_verdict(_json(artifacts / "validate/result.json")),
        near_groups=_json(artifacts / "audit/audit.json").get("near_groups"),
        generated=None if generated is None or samples is None else generated - samples,
        sizes=_sizes(_json(artifacts / "split/split.json")),
        accuracy=metrics.get("test", {}).get("accuracy"),
        accuracy_tta=metrics.get("test_tta", {}).get("accuracy"),
        accuracy_leak_free=metrics.get("test_leak_free", {}).get("accuracy"),
        macro_f1=metrics.get("test", {}).get("macro_f1"),
    )


def read_alias(root: Path, alias: str) -> dict[str, Any] | None:
    """Return the version that holds `alias` with its test scores, or None; no store is made by asking."""
    from ferrule.registry.versions import find_version
    from ferrule.store import has_store

    if not has_store(root):
        return None
    from pipelines.params import load_params

    version = find_version(root, load_params(root).register.model_name, alias)
    return version.as_dict() if version else None


def registry_holds_last(root: Path) -> bool:
    """Tell whether the registry holds, as challenger, the version that the last register wrote down."""
    from ferrule.registry.versions import CHALLENGER, find_version
    from ferrule.store import has_store

    try:
        noted = json.loads((root / "artifacts" / "register" / "version.json").read_text())
        if not has_store(root):
            return False
        found = [find_version(root, noted["name"], which) for which in (noted["version"], CHALLENGER)]
    except (OSError, json.JSONDecodeError, KeyError):
        return False
    return all(version is not None and version.model_md5 == noted["model_md5"] for version in found)


def _verdict(result: dict[str, Any]) -> str | None:
    if not result:
        return None
    warnings = f", {result['warnings']} warning{'s' * (result['warnings'] != 1)}"
    verdict = "passed" if result["success"] else f"failed ({result['critical_failed']} critical)"
    return f"{verdict}: {result['evaluated']} expectations{warnings}"


def _sizes(split: dict[str, Any]) -> dict[str, int]:
    """Return the images in each split, generated ones included, and how many were dropped."""
    if not split:
        return {}
    parts = [split["original"], split["generated"]]
    sizes = {name: sum(sum(part.get(name, {}).values()) for part in parts) for name in split["original"]}
    return sizes | {"dropped": sum(sum(classes.values()) for classes in split["dropped"].values())}


def _rows(path: Path) -> int | None:
    if not path.is_file():
        return None
    import pyarrow.parquet

    return pyarrow.parquet.read_metadata(path).num_rows


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _score(metric: dict[str, float] | None) -> str | None:
    if metric is None:
        return None
    value, low, high = (f"{100 * metric[part]:.1f}" for part in ("value", "low", "high"))
    return f"{value} %  (95 % interval: {low} to {high})"
