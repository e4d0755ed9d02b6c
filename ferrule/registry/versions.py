"""Versions of the model in MLflow's registry: logging one, finding it by number or alias, loading what is served.

`aliases.py` says which of them is `challenger` and which `champion`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferrule.errors import RegistryError
from ferrule.registry.aliases import CHALLENGER, CHAMPION, move_alias
from ferrule.registry.packaging import SERVED, create_version, current_backend
from ferrule.store import fluent_store, has_store, open_store
from ferrule.tracking import MODEL_TAG, TEST_TAG, digest_file, find_model_run, model_runs

if TYPE_CHECKING:
    import keras
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.pyfunc import PyFuncModel

CLASSES_TAG = "ferrule.classes"
DATA_TAG = "ferrule.data_md5"
LOCK_TAG = "ferrule.dvc_lock"
SERVED_TAG = "ferrule.served_md5"
TEMPERATURE_TAG = "ferrule.temperature"
VALIDATED_TAG = "ferrule.validated"
TAGGED_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")  # of the test images, as tags test_…


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
    root: Path,
    name: str,
    network: Path,
    *,
    model_md5: str,
    classes: tuple[str, ...],
    temperature: float,
    tags: Mapping[str, str],
    action: str = "registration",
) -> VersionInfo:
    """Register the Keras file `network` as a version of `name` and make it the challenger; the ledger names `action`.

    The same network with the same serving code and `temperature` is registered once: its version is found again and
    gets the alias and `tags` of today, since the gate before the champion alias goes by them. The run keeps what it
    knew first.
    """
    client, run_id = open_store(root), find_model_run(root, model_md5)
    identity = {MODEL_TAG: model_md5, SERVED_TAG: digest_file(SERVED), TEMPERATURE_TAG: str(temperature)}
    tags = {**tags, **identity, CLASSES_TAG: ",".join(classes)}
    _ensure_registered_model(client, name)
    _tag_run(client, run_id, tags)
    same = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in identity.items())
    known = client.search_model_versions(f"name = '{name}' and {same}")
    if known:
        version = max(known, key=lambda found: int(found.version))
        for key, value in tags.items():
            client.set_model_version_tag(name, version.version, key, value)
    else:
        version = create_version(client, root, name, network, classes, temperature, run_id, tags)
    number = str(version.version)  # SQLite gives integers
    move_alias(root, name, CHALLENGER, number, action=action, why="It is the newest model.")
    return describe_version(root, name, number)


def describe_version(root: Path, name: str, which: str) -> VersionInfo:
    """Return what is known of a version, by number or alias; raises RegistryError where there is none."""
    info = find_version(root, name, which)
    if info is None:
        remedy = "see `ferrule registry list`" if _has_versions(root, name) else "run `ferrule run` first"
        raise RegistryError(f"Expected {which} among the versions of {name!r}; there is none; {remedy}.")
    return info


def find_version(root: Path, name: str, which: str) -> VersionInfo | None:
    """Return what is known of a version, by number or alias, or None; no store is made by asking."""
    from mlflow.exceptions import MlflowException

    if not has_store(root):
        return None
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


def load_version(root: Path, name: str, which: str = CHAMPION) -> "PyFuncModel":
    """Return the model as it is served: `predict` takes uint8 (n, 48, 48) and returns the table of served.py.

    It runs on the backend in use here, whichever it was trained on.
    """
    describe_version(root, name, which)
    address = f"models:/{name}/{which}" if which.isdecimal() else f"models:/{name}@{which}"
    with fluent_store(root):
        import mlflow

        return mlflow.pyfunc.load_model(address, model_config={"backend": current_backend()})


def load_network(root: Path, info: VersionInfo) -> "keras.Model":
    """Return the version's own Keras network: grey values 0-255 (b, 48, 48, 1) to probabilities, not calibrated."""
    return load_version(root, info.name, info.version).unwrap_python_model().network


def _has_versions(root: Path, name: str) -> bool:
    return has_store(root) and bool(list_versions(root, name))


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
