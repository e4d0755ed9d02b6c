"""Training as `ferrule.training` does it, beside the same steps on one batch that lies ready: what feeding it costs.

Drawing, distorting and mixing images must not slow training down: at least 95 % of the compute-bound rate is asked for.
The smallest network is taken, for which that is hardest.
"""

import statistics
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from bench.limits import count_operations
from bench.rows import ROOT, Row, Setup, alternate, compare, seconds
from ferrule.backends import choose_precision, keras, make_deterministic
from ferrule.batches import TrainingData, draw_batches, draw_rows
from ferrule.emotions import EMOTIONS, class_ids
from ferrule.muon import Muon
from ferrule.network import build_network
from ferrule.views import Distortion
from pipelines.params import load_params
from pipelines.sections import Train

RUNS = 5
NETWORK = "small"
STEPS = 15  # at each size of a pair; the sizes of all pairs together make some hundred steps


def measure(setup: Setup, *, steps: int = STEPS) -> list[Row]:
    """Return the row of training `steps` batches at each of the sizes that params.yaml trains at."""
    train = load_params(ROOT).train
    precision = choose_precision(train.precision)
    make_deterministic()
    model = _compile(train, precision)
    data, rng = _training_data(setup), np.random.default_rng(0)
    sizes = sorted(set(train.sizes))
    ready = {size: next(iter(_draw(data, train, train.batch_size, size, rng))) for size in sizes}
    ready = {size: tuple(map(keras.ops.convert_to_tensor, batch)) for size, batch in ready.items()}
    images = steps * train.batch_size

    def drawn() -> float:
        epochs = [_draw(data, train, images, size, rng) for size in sizes]
        return images * len(sizes) / sum(seconds(partial(_train, model, epoch)) for epoch in epochs)

    def compute_bound() -> float:
        return images * len(sizes) / sum(seconds(partial(_train, model, [ready[size]] * steps)) for size in sizes)

    return [
        compare(
            f"train the {NETWORK} network, {', '.join(map(str, sizes))} px, {precision}",
            "one batch that lies ready",
            "images/s",
            alternate(drawn, compute_bound, setup.runs),
            limit=_convolution_rate(setup, precision) / (3 * _mean_operations(sizes)),
            limit_is="its convolutions, once forward and twice back",
        )
    ]


def _mean_operations(sizes: Sequence[int]) -> float:
    networks = [build_network(NETWORK, len(EMOTIONS), dropout=0.0, seed=0, size=size) for size in sizes]
    return statistics.mean(map(count_operations, networks))


def _convolution_rate(setup: Setup, precision: str) -> float:
    fast = setup.limits.bfloat16 if precision == "bfloat16" else None
    return fast or setup.limits.float32


def _compile(train: Train, precision: str) -> keras.Model:
    """Return the network as `fit` compiles it."""
    model = build_network(NETWORK, len(EMOTIONS), dropout=train.dropout, seed=0, size=None, precision=precision)
    optimizer = Muon(train.peak_rate, rest_rate=train.rest_rate, momentum=train.momentum, decay=train.weight_decay)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=train.label_smoothing)
    jit = keras.backend.backend() == "jax"
    model.compile(optimizer, loss=loss, metrics=["accuracy"], jit_compile=jit)
    return model


def _training_data(setup: Setup) -> TrainingData:
    table, none = setup.samples.table, np.empty(0, np.int64)
    labels = np.array(class_ids(table["label"], EMOTIONS))
    originals = np.flatnonzero(table["usage"] == "Training")
    return TrainingData(setup.samples.images, labels, originals, none, none, len(EMOTIONS))


def _draw(data: TrainingData, train: Train, images: int, size: int, rng: np.random.Generator) -> Iterable[Any]:
    """Return the batches of the beginning of an epoch, drawn one by one as they are asked for."""
    distortion = Distortion(train.flip, train.rotation, train.zoom, train.aspect, train.shift, train.erasing)
    rows = np.resize(draw_rows(data, images, rng), images)
    return draw_batches(
        data, rows, size, batch_size=train.batch_size, distortion=distortion, mixup=train.mixup, rng=rng
    )


def _train(model: keras.Model, batches: Iterable[Any]) -> None:
    for images, targets in batches:
        loss, _ = model.train_on_batch(images, targets)
        float(loss)  # waits for the step to end, as the check of the loss does
