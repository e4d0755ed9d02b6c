"""The looks in MLflow: experiment `monitoring`, one run a model, a metric a fact, its step the time in Unix seconds.

The run is also what the next look goes by: its tags say up to where was looked, and when drift of
each test was last announced.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ferrule.monitoring.check import Check, Performance
from ferrule.registry.versions import VersionInfo
from ferrule.store import open_experiment, open_store
from ferrule.tracking import MODEL_TAG, log_metrics, search_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "monitoring"
NAME_TAG = "ferrule.model_name"
VERSION_TAG = "ferrule.model_version"

_TIMES = {"looked": "ferrule.looked_at", "scored": "ferrule.looked_to", "labelled": "ferrule.labels_looked_to"}
_ANNOUNCED = "ferrule.announced"  # JSON: test to time


@dataclass(frozen=True)
class LastLook:
    """Where the last look at a model left off: when it was, the newest scoring and label it saw; None before any.

    `spent` is when any version of the registered model was last looked at: all share one budget of false alarms.
    """

    looked: datetime | None
    spent: datetime | None
    scored: datetime | None
    labelled: datetime | None
    announced: dict[str, datetime]  # when the drift of a test was last announced, by its name
    drifted: bool  # whether it found drift


def open_monitoring(root: Path, version: VersionInfo) -> str:
    """Return the id of the run that keeps the looks at a model, found by its bytes; made at the first look."""
    client = open_store(root)
    experiment = open_experiment(client, root, EXPERIMENT).experiment_id
    found = client.search_runs([experiment], f"tags.`{MODEL_TAG}` = '{version.model_md5}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {MODEL_TAG: version.model_md5, NAME_TAG: version.name, VERSION_TAG: version.version}
    run = client.create_run(experiment, tags=tags, run_name=f"{version.name} version {version.version}")
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def read_last_look(root: Path, run_id: str) -> LastLook:
    """Return where the last look left off."""
    client = open_store(root)
    run = client.get_run(run_id)
    same_name = f"tags.`{NAME_TAG}` = '{run.data.tags[NAME_TAG]}'"
    looks = search_runs(client, same_name, experiment=run.info.experiment_id, deleted_too=True)
    spent = [moment for each in looks if (moment := _read_time(each.data.tags.get(_TIMES["looked"])))]
    times = {key: _read_time(run.data.tags.get(tag)) for key, tag in _TIMES.items()}
    return LastLook(
        **times,
        spent=max(spent, default=None),
        announced=_read_announced(run),
        drifted=run.data.metrics.get("drift", 0) > 0,
    )


def log_check(root: Path, run_id: str, check: Check, seen: Mapping[str, datetime], *, announced: bool) -> None:
    """Keep a look: its metrics at the step of its time, then how far it saw (`seen`: scored, labelled).

    `announced` says that its drift is to be announced; once it is, `log_announcement` starts the cool-down.
    """
    client = open_store(root)
    log_metrics(client, run_id, list_metrics(check, announced=announced), step=int(check.moment.timestamp()))
    times = {_TIMES[key]: moment for key, moment in seen.items()} | {_TIMES["looked"]: check.moment}
    for tag, moment in times.items():
        client.set_tag(run_id, tag, moment.astimezone(UTC).isoformat())


def log_announcement(root: Path, run_id: str, moment: datetime, names: Iterable[str]) -> None:
    """Keep that drift of these tests was announced."""
    client = open_store(root)
    announced = _read_announced(client.get_run(run_id)) | dict.fromkeys(names, moment.astimezone(UTC))
    text = json.dumps({name: told_at.isoformat() for name, told_at in announced.items()})
    client.set_tag(run_id, _ANNOUNCED, text)


def list_metrics(check: Check, *, announced: bool) -> dict[str, float]:
    """Return the look as metrics: effect_<test>, p_<test>, drift_<test>, counts, and the performance if it is known."""
    metrics = {"images": check.images, "new_images": check.new, "alpha": check.alpha}
    metrics |= {"drift": len(check.drifted), "announced": announced}
    for result in check.results:
        metrics |= {f"effect_{result.name}": result.effect, f"p_{result.name}": result.p_value}
        metrics |= {f"drift_{result.name}": result.drifted}
    return metrics | (_list_performance(check.performance) if check.performance else {})


def read_history(root: Path, run_id: str, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the looks so far: a row an effect, with `moment` (UTC), `name` (of the test), `effect` and `drifted`."""
    client, rows = open_store(root), []
    for name in names:
        effects, drifts = (_read_metric(client, run_id, f"{kind}_{name}") for kind in ("effect", "drift"))
        rows += [
            (pd.Timestamp(step, unit="s", tz="UTC"), name, effects[step], drifts.get(step, 0) > 0) for step in effects
        ]
    return pd.DataFrame(rows, columns=["moment", "name", "effect", "drifted"]).sort_values("moment", kind="stable")


def _list_performance(performance: Performance) -> dict[str, float]:
    metrics = {"labelled": performance.labelled, "confidence": performance.confidence}
    for name in ("accuracy", "calibration_error"):
        estimate = getattr(performance, name)
        metrics |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return metrics


def _read_metric(client: "MlflowClient", run_id: str, key: str) -> dict[int, float]:
    """Return the values of a metric by step."""
    return {metric.step: metric.value for metric in client.get_metric_history(run_id, key)}


def _read_announced(run: "Run") -> dict[str, datetime]:
    told = json.loads(run.data.tags.get(_ANNOUNCED, "{}"))
    return {name: datetime.fromisoformat(moment) for name, moment in told.items()}


def _read_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
