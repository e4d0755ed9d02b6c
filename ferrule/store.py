"""Where MLflow keeps runs, models and their files: `<root>/mlruns`, or what MLFLOW_TRACKING_URI names.

The local store is `mlruns/mlflow.db` (SQLite) with its files in `mlruns/artifacts`, made on first use.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ferrule.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

EXPERIMENT = "ferrule"
PATIENCE = 10.0  # seconds that a server which restarts has to answer for the first time
TIMEOUT = 5.0  # seconds for one answer

_SQLITE = "sqlite:///"

# Set before MLflow is first imported, and only where the user has not: no telemetry, no progress bars, no chatter.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

# Where MLflow 3 keeps absolute addresses of files.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def open_store(root: Path) -> "MlflowClient":
    """Give a client of the project's store, which is made if need be.

    MLflow keeps absolute paths; in a moved or copied checkout they are corrected, or it would write to the old one.
    Raises RegistryError where the store is a server that does not answer, or not as MLflow's does.
    """
    quieten_mlflow()
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        if is_server(uri := os.environ.get(variable, "")):
            _expect_answer(uri, variable)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(store_uri(root), os.environ.get("MLFLOW_REGISTRY_URI") or None)
    try:
        experiment = open_experiment(client, root, EXPERIMENT)
    except MlflowException as error:
        if not is_server(store_uri(root)):
            raise
        address, told = server_address(store_uri(root)), str(error).partition("\n")[0]
        raise RegistryError(
            f"Expected an MLflow server at {address}; it said: {told}; correct MLFLOW_TRACKING_URI or its credentials."
        ) from error
    old, new = experiment.artifact_location, _artifact_location(root)
    if is_own(root) and old != new and old.startswith("file:") and old.endswith("/mlruns/artifacts"):
        _follow_move(_database(root), old, new)
    return client


def store_uri(root: Path) -> str:
    """Return MLFLOW_TRACKING_URI, or the address of the SQLite store under `root`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{_SQLITE}{_database(root)}"


def find_database(root: Path) -> Path | None:
    """Return the file of the SQLite store, which may not exist, or None where the store is of another kind."""
    uri = store_uri(root)
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def is_own(root: Path) -> bool:
    """Tell whether the store is the project's own, in mlruns/."""
    return find_database(root) == _database(root)


def is_server(uri: str) -> bool:
    """Tell whether a store is asked over HTTP."""
    return uri.startswith(("http://", "https://"))


def server_address(uri: str) -> str:
    """Return a server's address without the name and password that may stand in it."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def has_store(root: Path) -> bool:
    """Tell whether there is a store to ask: a server, or a local one that was made; asking makes none."""
    return not is_own(root) or _database(root).is_file()


def open_experiment(client: "MlflowClient", root: Path, name: str) -> "Experiment":
    """Return an experiment of the project: made where there is none, brought back where it was deleted in the UI."""
    from mlflow.exceptions import MlflowException

    if client.get_experiment_by_name(name) is None:
        try:
            client.create_experiment(name, _artifact_location(root) if is_own(root) else None)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another stage was quicker
                raise
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None, "it was made above"
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment


def experiment_id(client: "MlflowClient") -> str:
    """Return the id of the experiment that holds every run of a model."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None, "open_store makes it"
    return str(experiment.experiment_id)


@contextmanager
def fluent_store(root: Path) -> Iterator[None]:
    """Point MLflow's module-level functions (load_model, log_model) at the project's store inside the block."""
    open_store(root)
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(store_uri(root))
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # also takes the variable away
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


def quieten_mlflow() -> None:
    """Keep MLflow from phoning home, drawing progress bars and chattering; to be called before it is imported."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)


@cache
def _expect_answer(uri: str, variable: str) -> None:
    """Expect a server at `uri`, named by `variable`, to answer; raises RegistryError where it does not.

    Asked once a process: a wrong address is told in seconds, for which MLflow takes minutes. Where it did answer once,
    MLflow's own patience is right: the epoch of a training is not lost because a server restarts.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            http_request(get_default_host_creds(uri), "/health", "GET", max_retries=0, timeout=TIMEOUT)
            return
        except MlflowException as error:
            if time.monotonic() > deadline:
                raise RegistryError(
                    f"Expected an MLflow server at {server_address(uri)}, which {variable} names; asking it timed out "
                    f"after {PATIENCE:.0f} seconds ({type(error.__context__).__name__}); start it, or correct that."
                ) from error
        time.sleep(1)


def _database(root: Path) -> Path:
    return root.resolve() / "mlruns" / "mlflow.db"


def _artifact_location(root: Path) -> str:
    return (root.resolve() / "mlruns" / "artifacts").as_uri()


def _follow_move(database: Path, old: str, new: str) -> None:
    """Replace the beginning `old` of every address of a file in `database` by `new`."""
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        for table, column in _ADDRESSES:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                (new, len(old) + 1, len(old), old),
            )
