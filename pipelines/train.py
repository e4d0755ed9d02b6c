"""Stage train: fit the network on the training images, generated ones included, and select on the validation images."""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from ferrule.backends import backend_name, choose_precision
from ferrule.batches import TrainingData
from ferrule.ensembles import fit_networks
from ferrule.errors import WorkflowError
from ferrule.network import save_network
from ferrule.settings import TrainSettings
from ferrule.tracking import BACKEND_TAG, RECIPE_TAG, training_run
from ferrule.training import Fit, fingerprint_training
from pipelines.folders import fresh_folder
from pipelines.params import Params
from pipelines.training_data import read_data


def run(params: Params, root: Path) -> None:
    """Write model.keras and history.csv; a run that was killed goes on from its last epoch.

    The checkpoints lie outside the stage's folder, which DVC removes before each run.
    """
    data = read_data(root, params.ingest.classes, params.train.labels)
    settings = TrainSettings(seed=params.seed, **asdict(params.train))
    checkpoints = root / "artifacts" / ".train-checkpoints"
    mark = fingerprint_training(data, settings)
    with _alone(checkpoints), training_run(root, *_describe(params, settings, data), fingerprint=mark) as log:
        result = fit_networks(data, settings, checkpoints, on_epoch=log)
        with fresh_folder(root / "artifacts" / "train") as out:
            save_network(result.model, out / "model.keras")
            result.history.to_csv(out / "history.csv", index=False, float_format="%.6g")
            model_md5 = hashlib.md5((out / "model.keras").read_bytes(), usedforsecurity=False).hexdigest()
        log.finish(model_md5, {"best_val_accuracy": result.val_accuracy, "train_seconds": result.seconds})
    print(_summarise(result, settings, data))


def _summarise(result: Fit, settings: TrainSettings, data: TrainingData) -> str:
    """Return how the training went, as a line."""
    kind = "network"
    if settings.members > 1 or settings.distil:
        kind = f"{'student' if settings.distil else 'ensemble'} of {settings.members}"
    work = f"{settings.epochs} epochs of {data.epoch_size(settings.epoch_images):,} images"
    right = f"{result.val_accuracy:.1%} of {len(data.val):,} validation images right"
    labels = "" if settings.labels == "given" else f" with labels {settings.labels}"
    return f"{settings.network} {kind}{labels}: {right}; {work} in {result.seconds / 60:.1f} minutes"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`; raises WorkflowError where another training has it, whose checkpoint lies there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WorkflowError(
                "Expected no other training in this project; one is under way; wait for it, or stop `pipelines train`."
            ) from error
        yield


def _describe(params: Params, settings: TrainSettings, data: TrainingData) -> tuple[dict[str, object], dict[str, str]]:
    """Return the parameters and the tags of the training's MLflow run."""
    values = {f"train.{name}": value for name, value in asdict(settings).items() if name != "seed"}
    counts = {"originals": len(data.originals), "generated": len(data.generated), "val_images": len(data.val)}
    tags = {
        RECIPE_TAG: params.recipe,
        BACKEND_TAG: backend_name(),
        "ferrule.precision": choose_precision(settings.precision),
    }
    return {"seed": settings.seed, "split.twins": params.split.twins, **values, **counts}, tags
