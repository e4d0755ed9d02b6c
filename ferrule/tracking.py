"""MLflow runs: one a trained model, from its first epoch to every look at the test images.

A run is found by the MD5 of its model's bytes, never by its id: no artifact holds a run id, so equal inputs give equal
artifacts.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from ferrule.digests import digest_json
from ferrule.environment import describe_environment
from ferrule.errors import FerruleError, RegistryError
from ferrule.predictions import flatten_scores
from ferrule.store import experiment_id, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MODEL_TAG = "ferrule.model_md5"
TEST_TAG = "ferrule.test_md5"  # which images the logged test scores are of
BACKEND_TAG = "ferrule.backend"  # of the run that trained a model
RECIPE_TAG = "ferrule.recipe"  # likewise; the same values may get another name, so it is no parameter
ENVIRONMENT_TAG = "ferrule.environment"  # likewise: JSON of `environment.describe_environment`
TRAINING_TAG = "ferrule.training"
PLACE_TAG = "ferrule.place"
FLOW_TAG = "ferrule.flow_run_id"
FLOW_VARIABLE = "FERRULE_FLOW_RUN_ID"
EVALUATION_FOLDER = "evaluate"  # of a run's files
STAGES_FILE = "lineage/stages.json"  # likewise

Content = TypeVar("Content")

_METRICS_A_CALL = 1000  # the store's limit


class TrainingLog:
    """What a training writes to its run; called once an epoch."""

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self.client = client
        self.run_id = run_id
        self.finished = False
        self.epochs = {metric.step for metric in client.get_metric_history(run_id, "loss")}

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Send the metrics of one epoch (counted from 1) unless the run has them; they show in the UI at once."""
        if epoch not in self.epochs:
            log_metrics(self.client, self.run_id, metrics, step=epoch)

    def finish(self, model_md5: str, metrics: Mapping[str, float] | None = None) -> None:
        """Tag the run with the MD5 of the model file it made, and add final `metrics` such as the seconds it took."""
        log_metrics(self.client, self.run_id, metrics or {})
        self.client.set_tag(self.run_id, MODEL_TAG, model_md5)
        self.finished = True


@contextmanager
def training_run(
    root: Path, params: Mapping[str, Any], tags: Mapping[str, str], *, fingerprint: str | None = None
) -> Iterator[TrainingLog]:
    """Give the log of a training; what is killed and started again goes on in the same run.

    `fingerprint` says what makes two trainings the same one (default: equal `params` and `tags`). The run ends as
    FINISHED where `finish` was called, as KILLED on an interrupt and as FAILED otherwise. A process killed with -9
    leaves it RUNNING: the next training in this checkout takes it up where the fingerprint is the same, and otherwise
    marks it KILLED.
    """
    client = open_store(root)
    fingerprint = fingerprint or digest_json([dict(params), dict(tags)])
    run_id = _take_up(client, root, fingerprint) or _start(client, root, fingerprint)
    _describe(client, run_id, params, {ENVIRONMENT_TAG: json.dumps(describe_environment()), **tags})
    log = TrainingLog(client, run_id)
    status = "FAILED"
    try:
        yield log
        status = "FINISHED" if log.finished else "FAILED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, status)


def find_model_run(root: Path, model_md5: str) -> str:
    """Return the id of the newest run that made this model; a run is made where the store knows of none.

    (DVC restores a model from its cache without training it, also where the store is new.)
    """
    client = open_store(root)
    runs = model_runs(client, model_md5)
    if runs:
        return str(runs[0].info.run_id)
    run = client.create_run(experiment_id(client), tags=flow_tags() | {MODEL_TAG: model_md5})
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


@dataclass(frozen=True)
class Looks:
    """How often a set of test images was looked at: by this model, and by every model in the store."""

    by_model: int
    by_all: int

    def __str__(self) -> str:
        return f"look {self.by_model} at the test images by this model; {self.by_all} by all models on this data"


def count_look(root: Path, model_md5: str, test_md5: str) -> Looks:
    """Record one more look of the model at the test images that `digest_test_set` names, and return the counts.

    The count is a metric of the model's run, so the store keeps when each look was; deleted runs still count.
    """
    client, run_id, key = open_store(root), find_model_run(root, model_md5), _look_key(test_md5)
    before = read_looks(root, model_md5, test_md5)
    here = int(client.get_run(run_id).data.metrics.get(key, 0)) + 1
    log_metrics(client, run_id, {key: here}, step=here)
    return Looks(before.by_model + 1, before.by_all + 1)


def read_looks(root: Path, model_md5: str, test_md5: str) -> Looks:
    """Return the counts that `count_look` keeps, and count nothing."""
    key = _look_key(test_md5)
    runs = search_runs(open_store(root), f"metrics.`{key}` > 0", deleted_too=True)
    looks = [(run.data.tags.get(MODEL_TAG) == model_md5, int(run.data.metrics[key])) for run in runs]
    return Looks(sum(number for own, number in looks if own), sum(number for _, number in looks))


def log_evaluation(root: Path, model_md5: str, test_md5: str, metrics: dict[str, Any], folder: Path) -> None:
    """Log the blocks of metrics.json, and the files of `folder`, to the run of the model, unless they are there."""
    client, run_id, scores = open_store(root), find_model_run(root, model_md5), flatten_scores(metrics)
    known = client.get_run(run_id).data
    logged = {Path(file.path).name for file in client.list_artifacts(run_id, EVALUATION_FOLDER)}
    complete = logged >= {path.name for path in folder.iterdir()}
    if complete and known.tags.get(TEST_TAG) == test_md5 and scores.items() <= known.metrics.items():
        return
    client.log_artifacts(run_id, str(folder), EVALUATION_FOLDER)
    log_metrics(client, run_id, scores)
    client.set_tag(run_id, TEST_TAG, test_md5)


def log_stages(root: Path, model_md5: str, entries: Mapping[str, Any]) -> None:
    """Keep the entries of dvc.lock that the model came from, by stage, with its run."""
    text = json.dumps(entries, indent=2) + "\n"
    open_store(root).log_text(find_model_run(root, model_md5), text, STAGES_FILE)


def read_stages(root: Path, run_id: str) -> dict[str, Any] | None:
    """Return what `log_stages` kept, as `read_artifact` does."""
    return read_artifact(root, run_id, STAGES_FILE, lambda path: json.loads(path.read_text()))


def log_table(root: Path, model_md5: str, folder: str, name: str, table: pd.DataFrame) -> None:
    """Keep a table as the file `<folder>/<name>` (Parquet) of the run of the model."""
    with TemporaryDirectory() as place:
        table.to_parquet(Path(place) / name, index=False)
        open_store(root).log_artifact(find_model_run(root, model_md5), str(Path(place) / name), folder)


def read_table(root: Path, run_id: str, path: str) -> pd.DataFrame | None:
    """Return a Parquet file of a run, as `read_artifact` does."""
    return read_artifact(root, run_id, path, pd.read_parquet)


def read_artifact(root: Path, run_id: str, path: str, read: Callable[[Path], Content]) -> Content | None:
    """Return what `read` makes of a file of a run, or None where the store lacks the file or the run.

    Raises RegistryError where the store cannot be asked or the file cannot be read: that is not the same as no file.
    """
    from mlflow.exceptions import MlflowException

    try:
        client = open_store(root)
        if path not in {file.path for file in client.list_artifacts(run_id, path.rpartition("/")[0] or None)}:
            return None
        with TemporaryDirectory() as place:  # MLflow copies the file, and would leave the copy behind
            return read(Path(client.download_artifacts(run_id, path, place)))
    except FerruleError:  # the store is out of reach, and says so
        raise
    except Exception as error:  # each kind of store fails in ways of its own
        if isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        told = str(error).strip().partition("\n")[0]
        raise RegistryError(
            f"Expected {path} of the run {run_id} from MLflow's store; it cannot be read ({told}); try again once the "
            "store answers, or see what `ferrule doctor` says of it."
        ) from error


def model_runs(client: "MlflowClient", model_md5: str) -> "list[Run]":
    """Return the runs that made or scored the model of these bytes, newest first."""
    return search_runs(client, f"tags.`{MODEL_TAG}` = '{model_md5}'")


def digest_file(path: Path) -> str:
    """Return the MD5 of a file, as DVC has it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def digest_test_set(predictions: pd.DataFrame) -> str:
    """Return an MD5 of the test images and labels in a table of predictions, the same for any order and file layout."""
    test = predictions[predictions["split"] == "test"]
    rows = sorted(test["pixel_hash"] + " " + test["label"])
    return hashlib.md5("\n".join(rows).encode(), usedforsecurity=False).hexdigest()


def log_metrics(client: "MlflowClient", run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Send `metrics` to a run in as few calls as the store allows."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    entries = [Metric(key, float(value), now, step) for key, value in metrics.items()]
    for start in range(0, len(entries), _METRICS_A_CALL):
        client.log_batch(run_id, metrics=entries[start : start + _METRICS_A_CALL])


def search_runs(
    client: "MlflowClient",
    condition: str,
    *,
    experiment: str | None = None,
    deleted_too: bool = False,
    page_size: int = 1000,
) -> "list[Run]":
    """Return all runs of an experiment (its id; default: that of the models) that fulfil `condition`, newest first."""
    from mlflow.entities import ViewType

    view = ViewType.ALL if deleted_too else ViewType.ACTIVE_ONLY
    experiments = [experiment or experiment_id(client)]
    query = partial(client.search_runs, experiments, condition, view, page_size, order_by=["start_time DESC"])
    page = query()
    runs = list(page)
    while page.token:
        page = query(page_token=page.token)
        runs += page
    return runs


def flow_tags() -> dict[str, str]:
    """Return the tag that names the Prefect flow run behind this process, if any."""
    flow_run = os.environ.get(FLOW_VARIABLE)
    return {FLOW_TAG: flow_run} if flow_run else {}


def _look_key(test_md5: str) -> str:
    """Return the metric that counts looks at these test images."""
    return f"looks/{test_md5[:8]}"


def _take_up(client: "MlflowClient", root: Path, fingerprint: str) -> str | None:
    """Return the unfinished run of this training, if any; others that seem to run in this checkout are dead."""
    unfinished = search_runs(client, f"tags.`{PLACE_TAG}` = '{_place(root)}' and attributes.status != 'FINISHED'")
    same = [run.info.run_id for run in unfinished if run.data.tags.get(TRAINING_TAG) == fingerprint]
    for run in unfinished:
        if run.info.status == "RUNNING" and run.info.run_id not in same[:1]:
            client.set_terminated(run.info.run_id, "KILLED")
    if not same:
        return None
    client.update_run(same[0], "RUNNING")
    return str(same[0])


def _start(client: "MlflowClient", root: Path, fingerprint: str) -> str:
    tags = {TRAINING_TAG: fingerprint, PLACE_TAG: _place(root)}
    return str(client.create_run(experiment_id(client), tags=tags).info.run_id)


def _describe(client: "MlflowClient", run_id: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    from mlflow.entities import Param, RunTag

    client.log_batch(
        run_id,
        params=[Param(key, str(value)) for key, value in params.items()],
        tags=[RunTag(key, str(value)) for key, value in (dict(tags) | flow_tags()).items()],
    )


def _place(root: Path) -> str:
    """Return a short name of this checkout on this machine (a path could hold quotes, which a filter cannot)."""
    return hashlib.sha256(f"{platform.node()}:{root.resolve()}".encode()).hexdigest()[:16]
