"""Trainings that the benchmarks share: what a network says of the validation images, kept under what decides it."""

from pathlib import Path

import numpy as np

from ferrule.batches import TrainingData
from ferrule.files import replacing
from ferrule.inference import predict_probabilities
from ferrule.settings import TrainSettings
from ferrule.training import fingerprint_training, fit
from ferrule.views import ALL, PLAIN

FOLDER = Path("artifacts/.trials")  # of a project
SEED_STEP = 100  # seeds of runs that are to be independent lie further apart than an ensemble's
INTERVALS = {"bootstrap": 200, "bins": 15, "seed": 2013}  # of the scores; only their values are told


def answer(data: TrainingData, settings: TrainSettings, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return what a trained network says of val over one view and over 18, each (v, k).

    What lies in `folder` is not trained again, and what was killed goes on from there.
    """
    kept = folder / fingerprint_training(data, settings)[:16]
    if not kept.with_suffix(".npy").is_file():
        network = fit(data, settings, checkpoint=kept.with_suffix(".npz")).model
        said = [predict_probabilities(network, data.images[data.val], views=views) for views in (PLAIN, ALL)]
        with replacing(kept.with_suffix(".npy")) as draft, draft.open("wb") as file:
            np.save(file, said)
        kept.with_suffix(".npz").unlink()
    plain, averaged = np.load(kept.with_suffix(".npy"))
    return plain, averaged
