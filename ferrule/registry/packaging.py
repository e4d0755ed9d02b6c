"""The network packed as MLflow serves it: with the code that asks it, its signature, and the packages both need."""

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ferrule.samples import IMAGE_SIZE
from ferrule.store import experiment_id, fluent_store
from ferrule.tracking import BACKEND_TAG, MODEL_TAG, model_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

SERVED = Path(__file__).with_name("served.py")

_PACKAGES = ("mlflow", "keras", "numpy", "pandas")  # what served.py imports; the backend comes on top


def create_version(
    client: "MlflowClient",
    root: Path,
    name: str,
    network: Path,
    classes: tuple[str, ...],
    temperature: float,
    run_id: str,
    tags: dict[str, str],
) -> "ModelVersion":
    """Log the model in the experiment of its run, and register it with all its tags at once."""
    from mlflow.entities import LoggedModelOutput

    logged = client.create_logged_model(experiment_id(client), name, source_run_id=run_id, tags=tags)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    backend = _trained_backend(client, tags[MODEL_TAG])
    current_backend()  # loads it without its chatter, before served.py does
    with fluent_store(root):
        import mlflow

        mlflow.pyfunc.log_model(
            model_id=logged.model_id,
            python_model=str(SERVED),
            artifacts={"network": str(network)},
            model_config={"classes": list(classes), "temperature": temperature, "backend": backend},
            signature=serving_signature(classes),
            input_example=_example(),
            pip_requirements=_requirements(backend),
        )
        # Inside the block too: the registry looks for the logged model in whatever store is the global one.
        return client.create_model_version(name, logged.model_uri, run_id, tags=tags, model_id=logged.model_id)


def serving_signature(classes: tuple[str, ...]) -> "ModelSignature":
    """Return what the served model takes and gives, and that one may ask for probabilities that are not calibrated."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    numbers = ["confidence", *(f"probability_{name}" for name in classes)]
    columns = Schema([ColSpec(DataType.string, "label"), *(ColSpec(DataType.float, name) for name in numbers)])
    images = TensorSpec(np.dtype(np.uint8), (-1, IMAGE_SIZE, IMAGE_SIZE))
    params = ParamSchema([ParamSpec("calibrated", DataType.boolean, default=True)])
    return ModelSignature(inputs=Schema([images]), outputs=columns, params=params)


def current_backend() -> str:
    """Return the Keras backend in use, which is also the name of its package."""
    from ferrule.backends import backend_name

    return backend_name()


def _trained_backend(client: "MlflowClient", model_md5: str) -> str:
    """Return the Keras backend that the newest training of the model used, or the one in use where that is lost."""
    trained = (run.data.tags.get(BACKEND_TAG) for run in model_runs(client, model_md5))
    return next((backend for backend in trained if backend), None) or current_backend()


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
