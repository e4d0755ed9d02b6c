"""The network: a small residual CNN for 48×48 grey faces, in Keras, and its file.

What is saved consists of Keras' own layers in float32, so that `keras.saving.load_model` needs none of this code.
"""

import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ferrule.backends import batch_norm_layer, keras, without_chatter
from ferrule.errors import DataError, ParameterError
from ferrule.samples import IMAGE_SIZE

layers = keras.layers

# Residual blocks at each of the widths 64, 128 and 256. Multiply-adds are those of one 48×48 image.
NETWORKS = {
    "small": (1, 1, 1),  # 1.25 million parameters, 120 million multiply-adds
    "medium": (1, 2, 2),  # 2.72 million parameters, 205 million multiply-adds
}
_WIDTHS = (64, 128, 256)
_BATCH_NORM_MOMENTUM = 0.9  # short trainings have few steps; 0.99 would still remember the first ones
_FLOOR = 8.0  # grey levels; a fainter image is not stretched to full contrast
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can hold
_SHARED = re.compile(rb'("shared_object_id": )(\d+)')


def build_network(
    name: str, n_classes: int, *, dropout: float, seed: int, size: int | None = IMAGE_SIZE, precision: str = "float32"
) -> keras.Model:
    """Return the network `name` with fresh weights; it maps grey images to probabilities.

    Images are (b, size, size, 1) or (b, size, size), of any dtype, 0 to 255; probabilities float32 (b, n_classes).
    `size` None takes any size. With `precision` "bfloat16" the layers compute in it, while weights stay float32: for
    training alone, see `rebuild_plain`. Raises ParameterError for a name not in NETWORKS.
    """
    if name not in NETWORKS:
        raise ParameterError(f"Expected train.network among {', '.join(NETWORKS)}; got {name!r}; correct it.")
    style = _Style("mixed_bfloat16" if precision == "bfloat16" else "float32", batch_norm_layer(precision), seed)
    images = keras.Input((size, size, 1), name="images")
    x = style.convolve(_standardise(images), 32, 3, 1, "stem_a")
    x = style.convolve(x, 64, 3, 2, "stem_b")
    for stage, (width, blocks) in enumerate(zip(_WIDTHS, NETWORKS[name], strict=True), start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _residual_block(x, width, stride, style, f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32", name="pool")(x)
    x = layers.Dropout(dropout, seed=seed, dtype="float32", name="dropout")(x)
    probabilities = layers.Dense(
        n_classes,
        activation="softmax",
        kernel_initializer=style.initialise("probabilities"),
        dtype="float32",
        name="probabilities",
    )(x)
    return keras.Model(images, probabilities, name=f"ferrule_{name}")


def rebuild_plain(name: str, n_classes: int, weights: list[np.ndarray], *, dropout: float, seed: int) -> keras.Model:
    """Return the network to save: keras' own layers in float32 at 48×48, with `weights` of any `build_network`."""
    model = build_network(name, n_classes, dropout=dropout, seed=seed)
    model.set_weights(weights)
    return model


def average_networks(members: list[keras.Model]) -> keras.Model:
    """Return the network whose probabilities are the mean of those of `members`, which become its layers."""
    images = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 1), name="images")
    for number, member in enumerate(members, start=1):
        member.name = f"member_{number}"
    mean = layers.Average(name="probabilities")([member(images) for member in members])
    return keras.Model(images, mean, name="ferrule_ensemble")


def save_network(model: keras.Model, path: Path) -> None:
    """Write `model` to `path` (.keras): the same weights always give the same bytes, whenever they are saved."""
    with tempfile.TemporaryDirectory() as folder:
        dated = Path(folder) / "model.keras"
        with without_chatter():  # on other backends Keras loads TensorFlow here, if it is there
            model.save(dated)
        with zipfile.ZipFile(dated) as source, zipfile.ZipFile(path, "w") as target:
            for name in sorted(source.namelist()):
                target.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), _without_chance(name, source.read(name)))


def load_network(path: Path) -> keras.Model:
    """Read a model that `save_network`, or plain Keras, wrote; raises DataError where `path` holds none."""
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"Expected a Keras model in {path}; {reason}; run the train stage again.") from error


@dataclass(frozen=True)
class _Style:
    """How every layer of one network is made; each gets a name, since Keras' own count on from network to network."""

    dtype: str
    batch_norm: Callable[..., keras.layers.Layer]
    seed: int

    def initialise(self, name: str) -> keras.initializers.Initializer:
        """Draw a kernel from the seed and its name, so that no state of the process has a say."""
        return keras.initializers.GlorotUniform(seed=zlib.crc32(f"{self.seed} {name}".encode()) & 0x7FFFFFFF)

    def convolve(self, x: Any, width: int, size: int, stride: int, name: str, *, activate: bool = True) -> Any:
        """Convolve, normalise and, as a rule, rectify."""
        x = layers.Conv2D(
            width,
            size,
            strides=stride,
            padding="same",
            use_bias=False,
            data_format="channels_last",
            kernel_initializer=self.initialise(name),
            dtype=self.dtype,
            name=name,
        )(x)
        x = self.batch_norm(momentum=_BATCH_NORM_MOMENTUM, dtype=self.dtype, name=f"{name}_norm")(x)
        return self.activate(x, name) if activate else x

    def activate(self, x: Any, name: str) -> Any:
        return layers.ReLU(dtype=self.dtype, name=f"{name}_relu")(x)


def _standardise(images: Any) -> Any:
    """Give each image mean 0 and standard deviation 1; a constant one becomes 0 everywhere."""
    return layers.LayerNormalization(
        axis=(1, 2, 3), center=False, scale=False, epsilon=_FLOOR**2, dtype="float32", name="standardise"
    )(images)


def _residual_block(x: Any, width: int, stride: int, style: _Style, name: str) -> Any:
    """Two 3×3 convolutions beside a shortcut (He et al. 2016); a shrinking one averages 2×2 (He et al. 2019)."""
    shortcut = x
    if stride > 1:
        shortcut = layers.AveragePooling2D(
            stride, padding="same", data_format="channels_last", dtype=style.dtype, name=f"{name}_shrink"
        )(x)
        shortcut = style.convolve(shortcut, width, 1, 1, f"{name}_shortcut", activate=False)
    x = style.convolve(x, width, 3, stride, f"{name}_a")
    x = style.convolve(x, width, 3, 1, f"{name}_b", activate=False)
    return style.activate(layers.Add(dtype=style.dtype, name=f"{name}_add")([x, shortcut]), name)


def _without_chance(name: str, content: bytes) -> bytes:
    """Return a member of the archive without its moment, and without the addresses that name shared objects."""
    if name == "metadata.json":
        return json.dumps({"keras_version": json.loads(content)["keras_version"]}).encode()
    if name != "config.json":
        return content
    numbers: dict[bytes, int] = {}
    return _SHARED.sub(lambda found: b"%s%d" % (found[1], numbers.setdefault(found[2], len(numbers) + 1)), content)
