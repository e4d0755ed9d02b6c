"""Embeddings: what the last layer of a network tells the classes from. Of an ensemble, its members' side by side."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


def attach_embeddings(model: "keras.Model") -> "keras.Model":
    """Return `model` with a second output, its embeddings (b, d); a single network is run but once for both."""
    from ferrule.backends import keras

    members = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    if not members:
        return keras.Model(model.inputs, [model.outputs[0], model.layers[-1].input])
    features = [keras.Model(member.inputs, member.layers[-1].input)(model.inputs[0]) for member in members]
    joined = keras.layers.Concatenate()(features) if len(features) > 1 else features[0]
    return keras.Model(model.inputs, [model.outputs[0], joined])


def embed(model: "keras.Model", images: np.ndarray) -> np.ndarray:
    """Return the embeddings, float32 (n, d), of `images`, uint8 (n, 48, 48)."""
    pixels = images[..., None].astype(np.float32)
    embeddings: np.ndarray = attach_embeddings(model).predict(pixels, batch_size=256, verbose=0)[1]
    return embeddings.astype(np.float32)
