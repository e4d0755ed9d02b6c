"""What networks say of images that they were not trained on: each fold is put to a network that learned the others.

Copies of an image stay in one fold. A network that has learned a wrong label from one copy would repeat it at the
other, and the label would look right.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ferrule.backends import choose_precision, keras
from ferrule.batches import TrainingData
from ferrule.errors import DataError
from ferrule.inference import predict_probabilities
from ferrule.network import build_network
from ferrule.settings import TrainSettings
from ferrule.training import fit
from ferrule.views import FLIP

# How the networks are trained, apart from what params.yaml says of them: by its recipe `demo`. That stands here once
# more because a stage that read `train` would run again, and suspect other labels, with each recipe that is tried.
# tests/test_noise.py holds both to each other.
TRAINING: dict[str, Any] = {
    "labels": "given",
    "network": "small",
    "precision": "auto",
    "peak_rate": 0.03,
    "rest_rate": 1.0,
    "warm_up": 0.05,
    "final_rate": 0.005,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "label_smoothing": 0.1,
    "class_weights": 0.0,
    "sampling": 0.0,
    "dropout": 0.2,
    "mixup": 0.0,
    "flip": 0.5,
    "rotation": 8.0,
    "zoom": 0.1,
    "aspect": 0.05,
    "shift": 0.06,
    "erasing": 0.0,
    "members": 1,
    "distil": 0.0,
}
_STEPS = 30  # at least, of an epoch; with fewer a small data set is hardly learned
_SMALLEST_BATCH = 8  # images; where these are fewer than 30 batches, there are fewer steps
_WATCHED = 1000  # images of val, about, by which epochs are selected


@dataclass(frozen=True)
class CrossFit:
    """What the section `noise` of params.yaml says of the networks, each value explained there."""

    folds: int
    epochs: int
    epoch_images: int
    batch_size: int
    size: int


def assign_folds(labels: np.ndarray, groups: np.ndarray, folds: int, *, seed: int) -> np.ndarray:
    """Return the fold, 0 to `folds` - 1, of each row: equal `groups` stay together, classes are spread evenly.

    `labels` (class ids) and `groups` are int (n,). Raises DataError where a class has fewer groups than there are
    folds: a network might then be asked about a class that it has never seen.
    """
    for label in np.unique(labels):
        found = len(np.unique(groups[labels == label]))
        if found < folds:
            raise DataError(
                f"Expected {folds} training images of each class at least, copies counted once; got {found} of one; "
                "lower noise.folds in params.yaml (0 turns the stage off) or bring more images."
            )
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    assigned = np.empty(len(labels), np.int64)
    for fold, (_, rows) in enumerate(cut.split(labels, labels, groups)):
        assigned[rows] = fold
    return assigned


def predict_out_of_fold(
    data: TrainingData, folds: np.ndarray, settings: CrossFit, *, seed: int, backend: str, checkpoints: Path
) -> np.ndarray:
    """Return float32 (n, n_classes): of each of the n originals what the network says that learned all other folds.

    `folds` (n,) is what `assign_folds` returns for them. Generated images are not learned: they would bring copies of
    what is left out. Epochs are selected on images of val, so that no label that is asked about has a say. What was
    killed goes on from the files in the folder `checkpoints`. Raises what `fit` raises.
    """
    probabilities = np.empty((len(folds), data.n_classes), np.float32)
    watched = data.val[:: max(1, len(data.val) // _WATCHED)]
    for fold in range(settings.folds):
        rest, left_out = data.originals[folds != fold], data.originals[folds == fold]
        print(
            f"network {fold + 1} of {settings.folds} learns {len(rest):,} images, {len(left_out):,} left out",
            flush=True,
        )
        learned = replace(data, originals=rest, generated=rest[:0], val=watched)
        own = _settle(settings, len(rest), seed + fold, backend)
        network = fit(learned, own, checkpoint=checkpoints / f"fold_{fold}.npz", size=settings.size).model
        probabilities[folds == fold] = _ask(network, data.images[left_out], own, settings.size)
    return probabilities


def _settle(settings: CrossFit, images: int, seed: int, backend: str) -> TrainSettings:
    """Return the settings of one network that learns so many images."""
    batch_size = max(_SMALLEST_BATCH, min(settings.batch_size, images // _STEPS))
    return TrainSettings(
        seed=seed,
        backend=backend,
        epochs=settings.epochs,
        epoch_images=settings.epoch_images,
        batch_size=batch_size,
        sizes=(settings.size,),
        **TRAINING,
    )


def _ask(network: keras.Model, images: np.ndarray, settings: TrainSettings, size: int) -> np.ndarray:
    """Return the probabilities (n, k) for each image and its mirror image, at the size and precision of training."""
    precision = choose_precision(settings.precision)
    quick = build_network(
        settings.network, network.output_shape[-1], dropout=0.0, seed=settings.seed, size=size, precision=precision
    )
    quick.set_weights(network.get_weights())
    return predict_probabilities(quick, images, views=FLIP, size=size)
