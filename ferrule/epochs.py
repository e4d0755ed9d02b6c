"""One epoch of a training: drawn, distorted, stepped through batch by batch, and scored on the validation images."""

import math
import time

import numpy as np

from ferrule.backends import keras
from ferrule.batches import TrainingData, draw_batches, draw_rows
from ferrule.errors import ParameterError
from ferrule.inference import predict_probabilities
from ferrule.progress import Progress
from ferrule.settings import TrainSettings


def run_epoch(
    model: keras.Model, data: TrainingData, settings: TrainSettings, epoch: int, progress: Progress
) -> dict[str, float]:
    """Train one epoch (from 0); return its metrics, those on val for images of the size it was trained at."""
    size, steps = settings.size(epoch), count_steps(data, settings)
    rng = np.random.default_rng([settings.seed, epoch])
    rows = draw_rows(data, settings.epoch_images, rng, settings.sampling)[: steps * settings.batch_size]
    batches = draw_batches(
        data, rows, size, batch_size=settings.batch_size, distortion=settings.distortion, mixup=settings.mixup, rng=rng
    )
    _reseed(model, settings.seed, epoch)
    weights = weigh_classes(np.bincount(data.labels[rows], minlength=data.n_classes), settings.class_weights)
    started, processor, sums = time.monotonic(), time.process_time(), np.zeros(2)
    for images, targets in batches:
        sums += _train_batch(model, images, targets, weights, settings, epoch)
        progress.advance(images.size)
    seconds = time.monotonic() - started
    loss, accuracy = (sums / steps).tolist()
    return {
        "size": size,
        "loss": loss,
        "accuracy": accuracy,
        **_validate(model, data, size),
        "learning_rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
        "images_per_second": len(rows) / seconds,
        "seconds": time.monotonic() - started,
        "cpu_seconds": time.process_time() - processor,  # of all cores together
    }


def count_steps(data: TrainingData, settings: TrainSettings) -> int:
    """Return the number of batches in an epoch."""
    return data.epoch_size(settings.epoch_images) // settings.batch_size


def weigh_classes(counts: np.ndarray, power: float) -> np.ndarray | None:
    """Return the weight of each class in the loss: its count to the power of -`power`, 1 on average over the images.

    `counts` int (k,) are of the images of an epoch, generated ones included. None where `power` is 0.
    """
    if not power:
        return None
    weights = np.maximum(counts, 1).astype(float) ** -power
    return weights * counts.sum() / (weights * counts).sum()


def _reseed(model: keras.Model, seed: int, epoch: int) -> None:
    """Set the random generator of every layer that has one to what the seed and the epoch say."""
    for number, layer in enumerate(model.layers):
        if hasattr(layer, "seed_generator"):
            state = np.random.SeedSequence([seed, epoch, number]).generate_state(2) & 0x7FFFFFFF
            layer.seed_generator.state.assign(state.astype(np.int32))


def _train_batch(
    model: keras.Model,
    images: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None,
    settings: TrainSettings,
    epoch: int,
) -> tuple[float, float]:
    """Take one step; return the loss and the accuracy before it."""
    of_images = None if weights is None else targets @ weights
    loss, accuracy = model.train_on_batch(images, targets, sample_weight=of_images)
    if not math.isfinite(loss):
        raise ParameterError(
            f"Expected the loss to be a number; got {loss} in epoch {epoch + 1}; lower train.peak_rate "
            f"(now {settings.peak_rate:g}) or train.rest_rate (now {settings.rest_rate:g})."
        )
    return float(loss), float(accuracy)


def _validate(model: keras.Model, data: TrainingData, size: int) -> dict[str, float]:
    """Return the mean log loss and the accuracy on the validation images, drawn at `size`."""
    labels = data.labels[data.val]
    probabilities = predict_probabilities(model, data.images[data.val], size=size)
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "val_loss": float(-np.log(np.maximum(of_label, 1e-12)).mean()),
        "val_accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
    }
