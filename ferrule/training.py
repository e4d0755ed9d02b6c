"""The fit: a network from fresh weights to the epoch that does best on the validation images.

Every random draw comes from the seed and the number of the epoch, so a training that is killed and started again goes on
from its last finished epoch and ends with the same weights as one that was left alone.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferrule.backends import backend_name, choose_precision, keras, make_deterministic
from ferrule.batches import TrainingData, epoch_batches
from ferrule.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from ferrule.errors import DataError, ParameterError
from ferrule.inference import predict_probabilities
from ferrule.muon import Muon
from ferrule.network import build_network, rebuild_plain
from ferrule.progress import Progress
from ferrule.samples import IMAGE_SIZE
from ferrule.views import Distortion

EpochCallback = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainSettings:
    """The section `train` of params.yaml, where each value is explained, and the seed."""

    seed: int
    network: str
    epochs: int
    epoch_images: int | None
    batch_size: int
    sizes: tuple[int, ...]
    precision: str
    peak_rate: float
    rest_rate: float
    warm_up: float
    final_rate: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    dropout: float
    mixup: float
    flip: float
    rotation: float
    zoom: float
    aspect: float
    shift: float
    erasing: float

    @property
    def distortion(self) -> Distortion:
        """How far each training image is distorted."""
        return Distortion(self.flip, self.rotation, self.zoom, self.aspect, self.shift, self.erasing)

    def size(self, epoch: int) -> int:
        """Return the side, in pixels, of the images of `epoch` (from 0): `sizes` are spread evenly over the epochs."""
        return self.sizes[epoch * len(self.sizes) // self.epochs]


@dataclass(frozen=True)
class Fit:
    """A finished training: the model to save, and one row an epoch of what it went through."""

    model: keras.Model
    history: pd.DataFrame
    best_epoch: int  # from 1
