"""Generating images on all cores, beside one thread of OpenCV calls and beside Keras' preprocessing layers.

All three mirror, turn, shift, zoom, change brightness and contrast, and erase, by the amounts of params.yaml. Keras'
layers interpolate linearly, for they know nothing sharper; the other two take Lanczos.
"""

import statistics
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pandas as pd

from bench.rows import ROOT, Row, Setup, alternate, compare, seconds
from ferrule.balance import Distortions, generate_children
from ferrule.engine import worker_count
from ferrule.samples import IMAGE_SIZE
from pipelines.params import load_params, pick

RUNS = 5
IMAGES = 20_000
BATCH = 512  # what Keras' layers are given at once
CENTRE = (IMAGE_SIZE - 1) / 2, (IMAGE_SIZE - 1) / 2


def measure(setup: Setup, *, count: int = IMAGES) -> list[Row]:
    """Return the rows of generating `count` images."""
    images = np.resize(setup.samples.images, (count, IMAGE_SIZE, IMAGE_SIZE))
    distortions = pick(Distortions, load_params(ROOT).augment)
    plan = pd.DataFrame({"sample_id": np.arange(count), "parent_id": 0, "parent_row": np.arange(count)})
    name = f"generate {IMAGE_SIZE}×{IMAGE_SIZE} images on {worker_count()} cores"
    limit = count / statistics.median(seconds(lambda: _warp_only(images)) for _ in range(setup.runs + 1))

    def ours() -> float:
        return count / seconds(lambda: [len(chunk) for chunk in generate_children(images, plan, distortions, seed=1)])

    def opencv() -> float:
        rng, threads = np.random.default_rng(1), cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            return count / seconds(lambda: [distort_plainly(image, distortions, rng) for image in images])
        finally:
            cv2.setNumThreads(threads)

    layers = _keras_layers(distortions)

    def keras() -> float:
        return count / seconds(lambda: [len(batch) for batch in _map_layers(layers, images)])

    return [
        compare(name, against, "images/s", alternate(ours, theirs, setup.runs), limit=limit, limit_is="the warp alone")
        for against, theirs in (("OpenCV, one thread", opencv), ("Keras' layers in tf.data", keras))
    ]


def distort_plainly(image: np.ndarray, amounts: Distortions, rng: np.random.Generator) -> np.ndarray:
    """Return `image`, uint8 (48, 48), changed by one OpenCV call after another, as one would write it down."""
    if rng.random() < amounts.flip:
        image = cv2.flip(image, 1)
    scale = 1 / (1 + rng.uniform(-amounts.zoom, amounts.zoom))
    matrix = cv2.getRotationMatrix2D(CENTRE, rng.uniform(-amounts.rotation, amounts.rotation), scale)
    for axis in (0, 1):
        matrix[axis, 2] += rng.uniform(-amounts.shift, amounts.shift) * IMAGE_SIZE
    size = IMAGE_SIZE, IMAGE_SIZE
    image = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)
    contrast = 1 + rng.uniform(-amounts.contrast, amounts.contrast)
    brightness = 255 * rng.uniform(-amounts.brightness, amounts.brightness)
    grey = image.astype(np.float32)
    grey = (grey - grey.mean()) * contrast + grey.mean() + brightness
    image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    if rng.random() < amounts.erasing:
        height, width = rng.integers(5, 20, 2)
        top, left = rng.integers(0, IMAGE_SIZE - height), rng.integers(0, IMAGE_SIZE - width)
        image[top : top + height, left : left + width] = rng.integers(0, 256)
    return image


def _keras_layers(amounts: Distortions) -> Any:
    from ferrule.backends import keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(amounts.rotation / 360, fill_mode="reflect"),
            layers.RandomTranslation(amounts.shift, amounts.shift, fill_mode="reflect"),
            layers.RandomZoom(amounts.zoom, fill_mode="reflect"),
            layers.RandomBrightness(amounts.brightness, value_range=(0, 255)),
            layers.RandomContrast(amounts.contrast, value_range=(0, 255)),
            layers.RandomErasing(amounts.erasing, scale=(0.02, 0.15), value_range=(0, 255)),
        ]
    )


def _map_layers(layers: Any, images: np.ndarray) -> Iterable[Any]:
    """Return the augmented batches, made on all cores by tf.data."""
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(images[..., None]).batch(BATCH)
    augmented = batches.map(
        lambda batch: layers(tf.cast(batch, tf.float32), training=True), num_parallel_calls=tf.data.AUTOTUNE
    )
    return augmented.prefetch(tf.data.AUTOTUNE)


def _warp_only(images: np.ndarray) -> None:
    """Warp each image by one matrix on all cores, the calls to OpenCV that no code around them can do without."""
    matrix = cv2.getRotationMatrix2D(CENTRE, 5, 1.05)

    def warp(part: np.ndarray) -> None:
        target = np.empty((IMAGE_SIZE, IMAGE_SIZE), np.uint8)
        for image in part:
            cv2.warpAffine(
                image,
                matrix,
                (IMAGE_SIZE, IMAGE_SIZE),
                dst=target,
                flags=cv2.INTER_LANCZOS4,
                borderMode=cv2.BORDER_REFLECT_101,
            )

    with ThreadPoolExecutor(worker_count()) as executor:
        list(executor.map(warp, np.array_split(images, worker_count())))
