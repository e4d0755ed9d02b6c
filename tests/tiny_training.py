"""A training of seconds: three classes told apart by where a bright band lies. Runs alone too, to be killed or timed.

python tests/tiny_training.py FOLDER   trains with the checkpoint in FOLDER and writes FOLDER/model.keras
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from ferrule.backends import backend_name
from ferrule.batches import TrainingData
from ferrule.network import save_network
from ferrule.settings import TrainSettings
from ferrule.training import Fit, fit

SETTINGS = TrainSettings(
    seed=7,
    backend=backend_name(),
    labels="given",
    network="small",
    precision="auto",
    epochs=3,
    epoch_images=98,
    batch_size=16,
    sizes=(24, 48, 48),
    peak_rate=0.04,
    rest_rate=1.0,
    warm_up=0.1,
    final_rate=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    label_smoothing=0.1,
    class_weights=0.0,
    sampling=0.0,
    dropout=0.2,
    mixup=0.2,
    flip=0.5,
    rotation=8.0,
    zoom=0.1,
    aspect=0.05,
    shift=0.05,
    erasing=0.2,
    members=1,
    distil=0.0,
)


def make_data(train: int = 112, val: int = 30, seed: int = 0) -> TrainingData:
    images = np.random.default_rng(seed).integers(0, 120, (train + val, 48, 48), dtype=np.uint8)
    labels = np.arange(train + val) % 3
    for image, label in zip(images, labels, strict=True):
        image[16 * label : 16 * label + 16] += 60
    rows = np.split(np.arange(train + val), [train * 3 // 4, train])  # the last quarter stands for generated images
    return TrainingData(images, labels, *rows, n_classes=3)


def train_tiny(folder: Path, **changes: object) -> Fit:
    result = fit(make_data(), replace(SETTINGS, **changes), checkpoint=folder / "state.npz")
    save_network(result.model, folder / "model.keras")
    return result


if __name__ == "__main__":
    train_tiny(Path(sys.argv[1]))
