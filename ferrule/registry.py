"""Versions of the model in MLflow's registry: logging one, finding it by number or alias, loading what is served.

Two aliases say what a version is: the newest is `challenger`, the one that is served is `champion`.
"""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrule.errors import RegistryError
from ferrule.promotion import Candidate
from ferrule.samples import IMAGE_SIZE
from ferrule.store import experiment_id, fluent_store, open_store
from ferrule.tracking import (
    BACKEND_TAG,
    EVALUATION_FOLDER,
    MODEL_TAG,
    TEST_TAG,
    count_look,
    digest_file,
    find_model_run,
    log_table,
    model_runs,
    read_table,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import PyFuncModel

CHALLENGER = "challenger"
CHAMPION = "champion"
CLASSES_TAG = "ferrule.classes"
DATA_TAG = "ferrule.data_md5"
SERVED_TAG = "ferrule.served_md5"
VALIDATED_TAG = "ferrule.validated"
TAGGED_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")  # of the test images, as tags test_…
RESCORE_FOLDER = "rescore"  # of a run's files: predictions on the test images of other models, a folder a test MD5

_SERVED = Path(__file__).with_name("served.py")
_PACKAGES = ("mlflow", "keras", "numpy", "pandas")  # what served.py imports; the backend comes on top


@dataclass(frozen=True)
class VersionInfo:
    """A version of the registered model, with the scores of the newest run that scored these bytes."""

    name: str
    version: str
    run_id: str
    model_md5: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    metrics: dict[str, float]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes the version tells apart, in the order of its outputs."""
        return tuple(self.tags.get(CLASSES_TAG, "").split(","))

    def as_dict(self) -> dict[str, Any]:
        """Return what one wants to see of it: name, number, MD5s, and its test scores as in metrics.json."""
        scores = {
            name: {"value": value} | {end: self.metrics[f"test_{name}_{end}"] for end in ("low", "high")}
            for name in TAGGED_SCORES
            if (value := self.metrics.get(f"test_{name}")) is not None
        }
        identity = {"name": self.name, "version": self.version, "model_md5": self.model_md5}
        return identity | {"data_md5": self.tags.get(DATA_TAG), "test": scores}


def register_version(
    root: Path, name: str, network: Path, *, model_md5: str, classes: tuple[str, ...], tags: Mapping[str, str]
) -> VersionInfo:
    """Register the Keras file `network` as a version of `name` and make it the challenger.

    The same network with the same serving code is registered once: its version is found again and gets the alias and
    `tags` of today, since the gate before the champion alias goes by them. The run keeps what it knew first.
    """
    client, run_id, served_md5 = open_store(root), find_model_run(root, model_md5), digest_file(_SERVED)
    tags = {**tags, MODEL_TAG: model_md5, SERVED_TAG: served_md5, CLASSES_TAG: ",".join(classes)}
    _ensure_registered_model(client, name)
    _tag_run(client, run_id, tags)
    same = f"tags.`{MODEL_TAG}` = '{model_md5}' and tags.`{SERVED_TAG}` = '{served_md5}'"
    known = client.search_model_versions(f"name = '{name}' and {same}")
    if known:
        version = max(known, key=lambda found: int(found.version))
        for key, value in tags.items():
            client.set_model_version_tag(name, version.version, key, value)
    else:
        version = _create_version(client, root, name, network, classes, run_id, tags)
    number = str(version.version)  # SQLite gives integers
    move_alias(root, name, CHALLENGER, number)
    return describe_version(root, name, number)


def describe_version(root: Path, name: str, which: str) -> VersionInfo:
    """Return what is known of a version, by number or alias; raises RegistryError where there is none."""
    info = find_version(root, name, which)
    if info is None:
        raise RegistryError(f"Expected {which} among the versions of {name!r}; there is none; run `ferrule run` first.")
    return info


def find_version(root: Path, name: str, which: str) -> VersionInfo | None:
    """Return what is known of a version, by number or alias, or None."""
    from mlflow.exceptions import MlflowException

    client = open_store(root)
    find = client.get_model_version if which.isdecimal() else client.get_model_version_by_alias
    try:
        return _describe(client, find(name, which))
    except MlflowException as error:
        # SQLite says "invalid parameter" for an alias that does not exist, a server the other.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def list_versions(root: Path, name: str) -> list[VersionInfo]:
    """Return all versions of `name`, newest first."""
    client = open_store(root)
    found = client.search_model_versions(f"name = '{name}'")
    return [_describe(client, version) for version in sorted(found, key=lambda v: int(v.version), reverse=True)]


def move_alias(root: Path, name: str, alias: str, version: str) -> None:
    """Let `alias` mean `version`, whatever it meant before."""
    open_store(root).set_registered_model_alias(name, alias, version)


def load_version(root: Path, name: str, which: str = CHAMPION) -> "PyFuncModel":
    """Return the model as it is served: `predict` takes uint8 (n, 48, 48) and returns the table of served.py.

    It runs on the backend in use here, whichever it was trained on.
    """
    describe_version(root, name, which)
    address = f"models:/{name}/{which}" if which.isdecimal() else f"models:/{name}@{which}"
    with fluent_store(root):
        import mlflow

        return mlflow.pyfunc.load_model(address, model_config={"backend": _current_backend()})


def read_candidate(root: Path, info: VersionInfo) -> Candidate:
    """Return what the gate before the champion alias wants to know of a version, from what evaluate logged."""
    seen = read_table(root, info.run_id, f"{EVALUATION_FOLDER}/seen.parquet")
    return Candidate(
        version=info.version,
        validated=info.tags.get(VALIDATED_TAG) == "true",
        accuracy=info.metrics.get("test_accuracy", 0.0),
        recalls={name: info.metrics.get(f"test_recall_{name}", 0.0) for name in info.classes},
        predictions=read_table(root, info.run_id, f"{EVALUATION_FOLDER}/predictions.parquet"),
        seen=None if seen is None else seen["pixel_hash"],
    )


def rescore(root: Path, info: VersionInfo, test: pd.DataFrame, images: np.ndarray, *, test_md5: str) -> pd.DataFrame:
    """Return predictions of a version on test images of another model, asked for now: a counted look.

    `test` is that model's table on them, `images` are theirs, uint8 (n, 48, 48), row by row; `test_md5` names the set
    they are from. `read_rescored` gives the table again without a look.
    """
    count_look(root, info.model_md5, test_md5)
    said = pd.DataFrame(load_version(root, info.name, info.version).predict(images))
    table = test[["split", "label", "pixel_hash"]].assign(predicted=said["label"].to_numpy())
    log_table(root, info.model_md5, f"{RESCORE_FOLDER}/{test_md5}", "predictions.parquet", table)
    return table


def read_rescored(root: Path, info: VersionInfo, *, test_md5: str) -> pd.DataFrame | None:
    """Return what `rescore` kept of these test images with any run of the version's bytes, or None."""
    path = f"{RESCORE_FOLDER}/{test_md5}/predictions.parquet"
    runs = model_runs(open_store(root), info.model_md5)
    tables = (read_table(root, str(run.info.run_id), path) for run in runs)
    return next((table for table in tables if table is not None), None)


def serving_signature(classes: tuple[str, ...]) -> "ModelSignature":
    """Return what the served model takes and gives."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    numbers = ["confidence", *(f"probability_{name}" for name in classes)]
    columns = Schema([ColSpec(DataType.string, "label"), *(ColSpec(DataType.float, name) for name in numbers)])
    images = TensorSpec(np.dtype(np.uint8), (-1, IMAGE_SIZE, IMAGE_SIZE))
    return ModelSignature(inputs=Schema([images]), outputs=columns)


def _ensure_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description="Facial expressions of 48×48 grey faces; see Ferrule.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _tag_run(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    """Add the tags that the run does not have yet."""
    known = client.get_run(run_id).data.tags
    for name in tags.keys() - known.keys():
        client.set_tag(run_id, name, tags[name])


def _create_version(
    client: "MlflowClient",
    root: Path,
    name: str,
    network: Path,
    classes: tuple[str, ...],
    run_id: str,
    tags: dict[str, str],
) -> "ModelVersion":
    """Log the model in the experiment of its run, and register it with all its tags at once."""
    from mlflow.entities import LoggedModelOutput

    logged = client.create_logged_model(experiment_id(client), name, source_run_id=run_id, tags=tags)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    backend = _trained_backend(client, tags[MODEL_TAG])
    with fluent_store(root):
        import mlflow

        mlflow.pyfunc.log_model(
            model_id=logged.model_id,
            python_model=str(_SERVED),
            artifacts={"network": str(network)},
            model_config={"classes": list(classes), "backend": backend},
            signature=serving_signature(classes),
            input_example=_example(),
            pip_requirements=_requirements(backend),
        )
        # Inside the block too: the registry looks for the logged model in whatever store is the global one.
        return client.create_model_version(name, logged.model_uri, run_id, tags=tags, model_id=logged.model_id)


def _trained_backend(client: "MlflowClient", model_md5: str) -> str:
    """Return the Keras backend that the newest training of the model used, or the one in use where that is lost."""
    trained = (run.data.tags.get(BACKEND_TAG) for run in model_runs(client, model_md5))
    return next((backend for backend in trained if backend), None) or _current_backend()


def _current_backend() -> str:
    """Return the Keras backend in use, which is also the name of its package."""
    from ferrule.backends import backend_name

    return backend_name()


def _requirements(backend: str) -> list[str]:
    """Return what served.py imports, in the versions installed here; a backend that is not has no version."""
    return [_pin(package) for package in (*_PACKAGES, backend)]


def _pin(package: str) -> str:
    """Return the requirement of a package at its version here; a build like 2.13.0+cpu has its base's."""
    try:
        return f"{package}=={importlib.metadata.version(package).partition('+')[0]}"
    except importlib.metadata.PackageNotFoundError:
        return package


def _example() -> np.ndarray:
    """Return one image, uint8 (1, 48, 48), that comes from no dataset: a bright disc on a slope of grey."""
    row, column = np.indices((IMAGE_SIZE, IMAGE_SIZE))
    disc = np.hypot(row - 23.5, column - 23.5) < 18
    return np.where(disc, 190, 2 * row + column).astype(np.uint8)[np.newaxis]


def _describe(client: "MlflowClient", version: "ModelVersion") -> VersionInfo:
    """Return a version with the scores of the newest scored run of its bytes, which may not be the one it was made in.

    A training that gave the same bytes again has a newer run, without scores: DVC finds nothing to evaluate.
    """
    full = client.get_model_version(version.name, version.version)  # a search leaves the aliases out
    model_md5 = full.tags.get(MODEL_TAG, "")
    runs = model_runs(client, model_md5)
    scored = [run for run in runs if TEST_TAG in run.data.tags]
    run = next(iter(scored or runs), None) or client.get_run(str(full.run_id))
    return VersionInfo(
        name=full.name,
        version=str(full.version),
        run_id=str(run.info.run_id),
        model_md5=model_md5,
        aliases=tuple(sorted(full.aliases)),
        tags=dict(full.tags),
        metrics=dict(run.data.metrics),
    )
