"""What a model saw and said on images it was not trained on: the reference that later images are compared with."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import keras

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def embed(model: "keras.Model", images: np.ndarray) -> np.ndarray:
    """Return float32 (n, d): what the last layer of `model` tells the classes from, for `images` uint8 (n, 48, 48).

    Of an ensemble these are the features of its members, side by side.
    """
    from ferrule.backends import keras

    members = [layer for layer in model.layers if isinstance(layer, keras.Model)] or [model]
    networks = [keras.Model(member.inputs, member.layers[-1].input) for member in members]
    pixels = images[..., None].astype(np.float32)
    return np.concatenate([network.predict(pixels, batch_size=256, verbose=0) for network in networks], axis=1)


def summarize_shares(names: pd.Series, classes: tuple[str, ...]) -> dict[str, float]:
    """Return the share of each class among `names`."""
    shares = names.value_counts(normalize=True)
    return {name: round(float(shares.get(name, 0.0)), 6) for name in classes}


def summarize_values(values: np.ndarray, *, bins: int) -> dict[str, Any]:
    """Return count, mean, standard deviation, quantiles and a histogram of `values` (n,).

    The inner edges of the histogram are quantiles, so that every bin holds about as many values and a comparison of
    shares (population stability index) meets no empty one; the outer bins are open. Equal edges are one.
    """
    values = np.asarray(values, dtype=float)
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return {
        "count": len(values),
        "mean": _round(values.mean()),
        "std": _round(values.std()),
        "quantiles": {str(level): _round(np.quantile(values, level)) for level in QUANTILES},
        "edges": [float(edge) for edge in edges],
        "shares": [_round(share) for share in counts / len(values)],
    }


def summarize_embeddings(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (d,) and covariance (d, d) of `embeddings` (n, d), float64: a Gaussian for the Fréchet distance."""
    wide = embeddings.astype(np.float64)
    return wide.mean(axis=0), np.atleast_2d(np.cov(wide, rowvar=False))


def _round(number: float) -> float:
    return round(float(number), 6)
