"""Probabilities from a network, plain or averaged over several views of each image."""

import numpy as np

from ferrule.backends import keras
from ferrule.samples import IMAGE_SIZE
from ferrule.views import PLAIN, View, look


def predict_probabilities(
    model: keras.Model,
    images: np.ndarray,
    *,
    views: tuple[View, ...] = PLAIN,
    size: int = IMAGE_SIZE,
    batch: int = 256,
) -> np.ndarray:
    """Return float32 (n, classes), rows summing to 1, for `images` uint8 (n, 48, 48): the mean over `views`.

    Every batch has the same size (the last is filled up with black images), so that a backend traces the network once.
    """
    batch = max(1, min(batch, len(images)))
    chunks = [images[start : start + batch] for start in range(0, len(images), batch)]
    means = [
        np.mean([_predict_batch(model, look(chunk, view, size), batch) for view in views], axis=0) for chunk in chunks
    ]
    n_classes = model.output_shape[-1]
    return np.concatenate(means) if means else np.empty((0, n_classes), np.float32)


def _predict_batch(model: keras.Model, images: np.ndarray, batch: int) -> np.ndarray:
    """Return float32 (b, classes) for `images` (b, size, size), b at most `batch`."""
    filled = np.zeros((batch, *images.shape[1:], 1), np.float32)
    filled[: len(images), ..., 0] = images
    return model.predict_on_batch(filled)[: len(images)]
