"""More than one network: an ensemble of several seeds, and a student that learns from what an ensemble says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.backends import choose_precision, keras
from ferrule.batches import TrainingData
from ferrule.inference import predict_probabilities
from ferrule.network import average_networks, build_network
from ferrule.settings import TrainSettings
from ferrule.training import Fit, OnEpoch, fingerprint_training, fit
from ferrule.views import FLIP

_CHUNK = 8192  # images that a teacher is asked about at once


def fit_networks(data: TrainingData, settings: TrainSettings, folder: Path, *, on_epoch: OnEpoch | None = None) -> Fit:
    """Train what `settings` asks for: one network, the mean of several, or a student of these.

    `members` networks are trained from the seeds seed, seed + 1 and so on. Where `distil` is above 0 one more network
    is trained from the next seed on targets that are, by that weight, the members' mean probabilities and else the
    labels (Hinton et al. 2015, at temperature 1), and that one is returned; otherwise the members' mean.

    Checkpoints lie in `folder`, one a network. They stay until other networks are trained there, so that an ensemble
    takes up the network of a recipe that was run before it, and a student its ensemble. `on_epoch` is called as `fit`
    does, with the epochs of all networks counted through. Raises what `fit` raises.
    """
    fits: dict[str, Fit] = {}
    checkpoints = []

    def train(name: str, data: TrainingData, **changes: float) -> Fit:
        own = replace(settings, seed=settings.seed + len(fits), members=1, distil=0.0, **changes)  # type: ignore[arg-type]
        if settings.members > 1 or settings.distil:
            print(f"{name}, seed {own.seed}", flush=True)
        checkpoints.append(folder / f"{fingerprint_training(data, own)[:16]}.npz")
        counted_on = _counted_on(on_epoch, len(fits) * settings.epochs)
        fits[name] = fit(data, own, checkpoint=checkpoints[-1], on_epoch=counted_on)
        return fits[name]

    members = [train(f"member_{number + 1}", data).model for number in range(settings.members)]
    if settings.distil:
        taught = replace(data, targets=mix_targets(data, members, settings))
        student = train("student", taught, label_smoothing=0.0)  # the targets are smooth
        result = _gather(fits, student.model, student.val_accuracy)
    elif settings.members > 1:
        ensemble = average_networks(members)
        said = predict_probabilities(ensemble, data.images[data.val]).argmax(axis=1)
        result = _gather(fits, ensemble, float((said == data.labels[data.val]).mean()))
    else:
        result = fits["member_1"]
    for path in set(folder.glob("*.npz")) | set(folder.glob(".*.draft")):
        if path not in checkpoints:
            path.unlink()
    return result


def mix_targets(data: TrainingData, teachers: list[keras.Model], settings: TrainSettings) -> np.ndarray:
    """Return targets float32 (n, classes) for the rows to train on: labels, and by `distil` what the teachers say.

    Labels, or the targets that `data` has in their place, are smoothed by `label_smoothing`, what teachers say is not.
    These see each image and its mirror image, and are asked at the precision of training, which is quicker.
    """
    rows = np.concatenate([data.originals, data.generated])
    smooth, n = settings.label_smoothing, data.n_classes
    told = np.eye(n)[data.labels[rows]] if data.targets is None else data.targets[rows]
    targets = np.zeros((len(data.labels), n), np.float32)
    targets[rows] = (1 - settings.distil) * (smooth / n + (1 - smooth) * told)
    for teacher in teachers:
        quick = build_network(
            settings.network, n, dropout=0.0, seed=settings.seed, precision=choose_precision(settings.precision)
        )
        quick.set_weights(teacher.get_weights())
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            said = predict_probabilities(quick, data.images[chunk], views=FLIP)
            targets[chunk] += settings.distil / len(teachers) * said
    return targets


def _counted_on(on_epoch: OnEpoch | None, before: int) -> OnEpoch | None:
    """Return `on_epoch` for a network that comes after `before` epochs of others."""
    return on_epoch and (lambda epoch, metrics: on_epoch(before + epoch, metrics))


def _gather(fits: dict[str, Fit], model: keras.Model, val_accuracy: float) -> Fit:
    """Return one fit of several: their histories one below the other, and the time of all."""
    histories, epochs = [], 0
    for name, made in fits.items():
        histories.append(made.history.assign(network=name, epoch=made.history["epoch"] + epochs))
        epochs += len(made.history)
    seconds = sum(made.seconds for made in fits.values())
    return Fit(model, pd.concat(histories, ignore_index=True), made.best_epoch, val_accuracy, seconds)
