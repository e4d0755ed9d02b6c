"""The network: a small residual CNN for 48×48 grey faces, in Keras, and its file.

What is saved consists of Keras' own layers in float32, so that `keras.saving.load_model` needs none of this code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ferrule.backends import batch_norm_layer, keras
from ferrule.errors import ParameterError
from ferrule.samples import IMAGE_SIZE

layers = keras.layers

# Residual blocks at widths 64, 128 and 256 (He et al. 2016). Multiply-adds are those of one 48×48 image.
NETWORKS = {
    "small": (1, 1, 1),  # 1.25 million parameters, 120 million multiply-adds
    "medium": (1, 2, 2),  # 2.72 million parameters, 205 million multiply-adds
}
_WIDTHS = (64, 128, 256)
_BATCH_NORM_MOMENTUM = 0.9  # short trainings have few steps; 0.99 would still remember the first ones
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can hold
_FLOOR = 8.0  # grey levels; a fainter image is not stretched to full contrast


@dataclass(frozen=True)
class _Style:
    """How every layer of one network is made."""

    dtype: str
    batch_norm: Callable[..., keras.layers.Layer]

    def convolve(self, x: Any, width: int, size: int, stride: int, name: str) -> Any:
        return layers.Conv2D(
            width,
            size,
            strides=stride,
            padding="same",
            use_bias=False,
            data_format="channels_last",
            kernel_initializer="he_normal",
            dtype=self.dtype,
            name=name,
        )(x)

    def normalise(self, x: Any, name: str) -> Any:
        return self.batch_norm(momentum=_BATCH_NORM_MOMENTUM, epsilon=1e-3, dtype=self.dtype, name=f"{name}_norm")(x)

    def activate(self, x: Any, name: str) -> Any:
        return layers.ReLU(dtype=self.dtype, name=f"{name}_relu")(x)


def build_network(
    name: str, n_classes: int, *, dropout: float, seed: int, size: int | None = IMAGE_SIZE, precision: str = "float32"
) -> keras.Model:
    """Return the network `name` with fresh weights: grey images (b, size, size, 1), 0-255 -> probabilities (b, n_classes).

    `size` None takes images of any size. With `precision` "bfloat16" the layers compute in it (weights stay float32), for
    training alone: see `rebuild_plain`. Raises ParameterError for a name not in NETWORKS.
    """
    if name not in NETWORKS:
        raise ParameterError(f"Expected train.network among {', '.join(NETWORKS)}; got {name!r}; correct it.")
    keras.utils.set_random_seed(seed)
    dtype = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    style = _Style(dtype, batch_norm_layer(precision))
    images = keras.Input((size, size, 1), name="images")
    x = _standardise(images)
    x = style.activate(style.normalise(style.convolve(x, 32, 3, 1, "stem1"), "stem1"), "stem1")
    x = style.activate(style.normalise(style.convolve(x, 64, 3, 2, "stem2"), "stem2"), "stem2")
    for stage, (width, blocks) in enumerate(zip(_WIDTHS, NETWORKS[name], strict=True), start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _residual_block(x, width, stride, style, f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32", name="pool")(x)
    x = layers.Dropout(dropout, seed=seed, dtype="float32", name="dropout")(x)
    probabilities = layers.Dense(n_classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return keras.Model(images, probabilities, name=f"ferrule_{name}")


def rebuild_plain(name: str, n_classes: int, weights: list[np.ndarray], *, dropout: float, seed: int) -> keras.Model:
    """Return the network to save: keras' own layers in float32 at 48×48, with `weights` (those of `build_network`)."""
    model = build_network(name, n_classes, dropout=dropout, seed=seed)
    model.set_weights(weights)
    return model


def save_network(model: keras.Model, path: Path) -> None:
    """Write `model` to `path` (.keras): the same weights always give the same bytes, whenever they are saved."""
    with tempfile.TemporaryDirectory() as folder:
        stamped = Path(folder) / "model.keras"
        model.save(stamped)
        with zipfile.ZipFile(stamped) as source, zipfile.ZipFile(path, "w") as target:
            for name in sorted(source.namelist()):
                target.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), _without_date(name, source.read(name)))


def load_network(path: Path) -> keras.Model:
    """Read a model that `save_network`, or plain Keras, wrote; raises DataError where the file is none."""
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"Expected a Keras model in {path}; {reason}; run the train stage again.") from error


def _without_date(name: str, content: bytes) -> bytes:
    """Return one member of the archive, without the moment of saving where it tells that."""
    if name != "metadata.json":
        return content
    return json.dumps({"keras_version": json.loads(content)["keras_version"]}).encode()


def _standardise(images: Any) -> Any:
    """Give each image mean 0 and standard deviation 1; a constant one becomes 0 everywhere."""
    return layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=_FLOOR**2, dtype="float32", name="standardise"
    )(images)


def _residual_block(x: Any, width: int, stride: int, style: _Style, name: str) -> Any:
    """Two 3×3 convolutions beside a shortcut; a block that shrinks the image averages its shortcut 2×2 (He et al. 2019)."""
    shortcut = x
    if stride > 1:
        shortcut = layers.AveragePooling2D(
            stride, padding="same", data_format="channels_last", dtype=style.dtype, name=f"{name}_shrink"
        )(x)
        shortcut = style.normalise(style.convolve(shortcut, width, 1, 1, f"{name}_shortcut"), f"{name}_shortcut")
    x = style.activate(style.normalise(style.convolve(x, width, 3, stride, f"{name}_a"), f"{name}_a"), f"{name}_a")
    x = style.normalise(style.convolve(x, width, 3, 1, f"{name}_b"), f"{name}_b")
    return style.activate(layers.Add(dtype=style.dtype, name=f"{name}_add")([x, shortcut]), name)
