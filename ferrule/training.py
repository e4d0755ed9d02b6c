"""The fit: a network from fresh weights to the epoch that does best on the validation images.

Every random draw follows from the seed and the number of the epoch. So a training that is killed and started again
goes on from its last finished epoch, and ends with the same weights as one that was left alone.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferrule.backends import backend_name, choose_precision, expect_backend, keras, make_deterministic
from ferrule.batches import TrainingData
from ferrule.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from ferrule.epochs import count_steps, run_epoch
from ferrule.errors import DataError, ParameterError
from ferrule.muon import Muon
from ferrule.network import build_network, rebuild_plain
from ferrule.progress import Progress
from ferrule.samples import IMAGE_SIZE
from ferrule.settings import TrainSettings

HISTORY_COLUMNS = ("epoch", "size", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")

OnEpoch = Callable[[int, dict[str, float]], None]  # takes the number of the epoch, from 1, and its metrics

# What decides the weights that an epoch ends with.
_EPOCH_CODE = (
    "backends",
    "batches",
    "epochs",
    "inference",
    "muon",
    "network",
    "settings",
    "tensorflow_layers",
    "training",
    "views",
)


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
    size: int = IMAGE_SIZE,
) -> Fit:
    """Train on originals and generated images, select on val; return the best epoch's network in plain float32 layers.

    After each epoch the state is kept in the file `checkpoint`, from which an equal training (same data, settings and
    backend) goes on, also one that was finished. `on_epoch` gets the number of the epoch, from 1, and its loss,
    accuracy, val_loss, val_accuracy, learning_rate, images_per_second, seconds and cpu_seconds (of all cores); epochs
    of before an interruption are told again.

    Only epochs at `size` pixels can be selected, the last of them among these: for a network that is asked at a smaller
    size than that of all images.

    Raises DataError where `data` cannot be trained on, and ParameterError for settings that cannot be met or under
    which the loss stops being a number.
    """
    _check(data, settings, size)
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
            metrics = run_epoch(model, data, settings, epoch, progress)
            state = _advance(model, state, metrics, selectable=settings.size(epoch) == size)
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


def _check(data: TrainingData, settings: TrainSettings, size: int) -> None:
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
    if settings.size(settings.epochs - 1) != size:
        raise ParameterError(
            f"Expected the last epoch at {size} pixels, since only such epochs can be selected; got train.sizes "
            f"{list(settings.sizes)} over {settings.epochs} epochs; end them with {size} or list fewer."
        )
    expect_backend(settings.backend)


def _compile(data: TrainingData, settings: TrainSettings, precision: str) -> keras.Model:
    """Return the network to train, for images of any size, with its optimizer built."""
    model = build_network(
        settings.network, data.n_classes, dropout=settings.dropout, seed=settings.seed, size=None, precision=precision
    )
    steps = settings.epochs * count_steps(data, settings)
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
    images = count_steps(data, settings) * settings.batch_size
    work = [float(images * settings.size(epoch) ** 2) for epoch in range(settings.epochs)]
    return Progress(settings.epochs, sum(work), sum(work[:done]))


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
