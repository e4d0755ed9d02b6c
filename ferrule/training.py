"""The fit: a network from fresh weights to the epoch that does best on the validation images.

Every random draw follows from the seed and the number of the epoch. So a training that is killed and started again
goes on from its last finished epoch, and ends with the same weights as one that was left alone.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferrule.backends import backend_name, choose_precision, expect_backend, keras, make_deterministic
from ferrule.batches import TrainingData, draw_batches, draw_rows
from ferrule.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from ferrule.errors import DataError, ParameterError
from ferrule.inference import predict_probabilities
from ferrule.muon import Muon
from ferrule.network import build_network, rebuild_plain
from ferrule.progress import Progress
from ferrule.samples import IMAGE_SIZE
from ferrule.views import Distortion

HISTORY_COLUMNS = ("epoch", "size", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")

OnEpoch = Callable[[int, dict[str, float]], None]  # takes the number of the epoch, from 1, and its metrics

_EPOCH_CODE = ("backends", "batches", "inference", "muon", "network", "tensorflow_layers", "training", "views")


@dataclass(frozen=True)
class TrainSettings:
    """The section `train` of params.yaml, where each value is explained, and the seed."""

    seed: int
    backend: str
    network: str
    precision: str
    epochs: int
    epoch_images: int
    batch_size: int
    sizes: tuple[int, ...]
    peak_rate: float
    rest_rate: float
    warm_up: float
    final_rate: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    class_weights: float
    sampling: float
    dropout: float
    mixup: float
    flip: float
    rotation: float
    zoom: float
    aspect: float
    shift: float
    erasing: float
    members: int
    distil: float

    @property
    def distortion(self) -> Distortion:
        """How far each training image is distorted."""
        return Distortion(self.flip, self.rotation, self.zoom, self.aspect, self.shift, self.erasing)

    def size(self, epoch: int) -> int:
        """Return the side, in pixels, of the images of `epoch` (from 0): `sizes` are spread evenly over the epochs."""
        return self.sizes[epoch * len(self.sizes) // self.epochs]


@dataclass(frozen=True)
class Fit:
    """A finished training: the network to save, and HISTORY_COLUMNS with one row an epoch.

    Of several networks the history also has `network`, epochs are counted through, and `best_epoch` is the last one's.
    """

    model: keras.Model
    history: pd.DataFrame
    best_epoch: int  # from 1
    val_accuracy: float  # of `model`
    seconds: float  # of all epochs, those before an interruption too


def fit(
    data: TrainingData,
    settings: TrainSettings,
    *,
    checkpoint: Path,
    on_epoch: OnEpoch | None = None,
) -> Fit:
    """Train on originals and generated images, select on val; return the best epoch's network in plain float32 layers.

    After each epoch the state is kept in the file `checkpoint`, from which an equal training (same data, settings and
    backend) goes on, also one that was finished. `on_epoch` gets the number of the epoch, from 1, and its loss,
    accuracy, val_loss, val_accuracy, learning_rate, images_per_second and seconds; epochs of before an interruption are
    told again.

    Raises DataError where `data` cannot be trained on, and ParameterError for settings that cannot be met or under
    which the loss stops being a number.
    """
    _check(data, settings)
    make_deterministic()
    precision = choose_precision(settings.precision)
    model = _compile(data, settings, precision)
    fingerprint = fingerprint_training(data, settings)
    state = _resume(model, fingerprint, checkpoint)
    if on_epoch:
        for row in state.history:
            on_epoch(int(row["epoch"]), {name: value for name, value in row.items() if name != "epoch"})
    with _start_progress(data, settings, done=len(state.history)) as progress:
        for epoch in range(len(state.history), settings.epochs):
            metrics = _run_epoch(model, data, settings, epoch, progress)
            state = _advance(model, state, metrics, selectable=settings.size(epoch) == IMAGE_SIZE)
            progress.tell(epoch + 1, metrics)
            if on_epoch:
                on_epoch(epoch + 1, metrics)
            save_checkpoint(state, fingerprint, checkpoint)
    plain = rebuild_plain(settings.network, data.n_classes, state.best, dropout=settings.dropout, seed=settings.seed)
    best, seconds = state.history[state.best_epoch - 1], sum(row["seconds"] for row in state.history)
    return Fit(plain, _tabulate(state), state.best_epoch, best["val_accuracy"], seconds)


def fingerprint_training(data: TrainingData, settings: TrainSettings) -> str:
    """Return a SHA-256 of all that decides what the training gives."""
    precision = choose_precision(settings.precision)
    facts = [asdict(settings), precision, _digest_code(), keras.__version__, data.n_classes]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for rows in (data.originals, data.generated, data.val):
        digest.update(np.asarray(data.labels[rows], np.int64).tobytes())
        if data.targets is not None:
            digest.update(np.asarray(data.targets[rows], np.float32).tobytes())
        for start in range(0, len(rows), 4096):
            digest.update(data.images[rows[start : start + 4096]].tobytes())
    return digest.hexdigest()


def _digest_code() -> str:
    """Return a SHA-256 of the modules that decide what an epoch does: other code must not go on from a checkpoint."""
    sources = [Path(__file__).with_name(f"{name}.py").read_bytes() for name in _EPOCH_CODE]
    return hashlib.sha256(b"".join(sources)).hexdigest()


def _check(data: TrainingData, settings: TrainSettings) -> None:
    """Raise DataError or ParameterError where no training could come of these."""
    if not len(data.val):
        raise DataError("Expected validation images to select on; got none; set split.strategy to stratified.")
    images = data.epoch_size(settings.epoch_images)
    if images < settings.batch_size:
        raise DataError(
            f"Expected a batch of {settings.batch_size} training images at least; got {images}; "
            "lower train.batch_size or bring more data."
        )
    missing = sorted(set(range(data.n_classes)) - set(data.labels[data.originals].tolist()))
    if missing:
        raise DataError(
            f"Expected training images of each of {data.n_classes} classes; got none of class {missing[0]}; "
            "bring some or take it out of ingest.classes."
        )
    if settings.size(settings.epochs - 1) != IMAGE_SIZE:
        raise ParameterError(
            f"Expected the last epoch at {IMAGE_SIZE} pixels, since only such epochs can be selected; got train.sizes "
            f"{list(settings.sizes)} over {settings.epochs} epochs; end them with {IMAGE_SIZE} or list fewer."
        )
    expect_backend(settings.backend)


def _compile(data: TrainingData, settings: TrainSettings, precision: str) -> keras.Model:
    """Return the network to train, for images of any size, with its optimizer built."""
    model = build_network(
        settings.network, data.n_classes, dropout=settings.dropout, seed=settings.seed, size=None, precision=precision
    )
    steps = settings.epochs * _steps(data, settings)
    warm_up = round(settings.warm_up * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), alpha=settings.final_rate, warmup_target=settings.peak_rate, warmup_steps=warm_up
    )
    optimizer = Muon(schedule, rest_rate=settings.rest_rate, momentum=settings.momentum, decay=settings.weight_decay)
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing),
        metrics=["accuracy"],
        jit_compile=backend_name() == "jax",  # JAX has nothing else; XLA on a CPU halves TensorFlow's speed
    )
    return model


def _steps(data: TrainingData, settings: TrainSettings) -> int:
    """Return the number of batches in an epoch."""
    return data.epoch_size(settings.epoch_images) // settings.batch_size


def _resume(model: keras.Model, fingerprint: str, checkpoint: Path) -> TrainingState:
    """Put `model` into the state that `checkpoint` holds, and return it; the state before the first epoch if none."""
    state = load_checkpoint(fingerprint, checkpoint)
    if state is None:
        weights = model.get_weights()
        return TrainingState(weights, _read(model.optimizer.variables), best=weights)
    model.set_weights(state.weights)
    for variable, value in zip(model.optimizer.variables, state.optimizer, strict=True):
        variable.assign(value)
    print(f"going on after epoch {len(state.history)} of an earlier training of this network", flush=True)
    return state


def _read(variables: list[Any]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _start_progress(data: TrainingData, settings: TrainSettings, done: int) -> Progress:
    """Return a progress that counts pixels, since an epoch of small images takes less time."""
    images = _steps(data, settings) * settings.batch_size
    work = [float(images * settings.size(epoch) ** 2) for epoch in range(settings.epochs)]
    return Progress(settings.epochs, sum(work), sum(work[:done]))


def _run_epoch(
    model: keras.Model, data: TrainingData, settings: TrainSettings, epoch: int, progress: Progress
) -> dict[str, float]:
    """Train one epoch (from 0); return its metrics, those on val for images of the size it was trained at."""
    size, steps = settings.size(epoch), _steps(data, settings)
    rng = np.random.default_rng([settings.seed, epoch])
    rows = draw_rows(data, settings.epoch_images, rng, settings.sampling)[: steps * settings.batch_size]
    batches = draw_batches(
        data, rows, size, batch_size=settings.batch_size, distortion=settings.distortion, mixup=settings.mixup, rng=rng
    )
    _reseed(model, settings.seed, epoch)
    weights = weigh_classes(np.bincount(data.labels[rows], minlength=data.n_classes), settings.class_weights)
    started, sums = time.monotonic(), np.zeros(2)
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
    }


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


def _advance(model: keras.Model, state: TrainingState, metrics: dict[str, float], *, selectable: bool) -> TrainingState:
    """Return the state after one more epoch, whose weights are the best where it is selectable and none did better."""
    history = [*state.history, {"epoch": len(state.history) + 1, **metrics}]
    weights = model.get_weights()
    after = replace(state, weights=weights, optimizer=_read(model.optimizer.variables), history=history)
    best = state.history[state.best_epoch - 1]["val_accuracy"] if state.best_epoch else -1.0
    if selectable and metrics["val_accuracy"] >= best:
        after = replace(after, best=weights, best_epoch=len(history))
    return after


def _tabulate(state: TrainingState) -> pd.DataFrame:
    """Return the history without what the clock said, so that equal trainings give equal tables."""
    return pd.DataFrame(state.history)[list(HISTORY_COLUMNS)].astype({"epoch": int, "size": int})
