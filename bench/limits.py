"""What this machine can do at most, as the libraries in use get it out of it: the limits that rows are held against."""

import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ferrule.engine import worker_count

COPIED = 256 << 20  # bytes; far more than any cache holds
CHANNELS, SIDE = 128, 24  # of the convolution: the widest place of the middle of our networks
BATCH = 64
_WORDS = 1 << 15  # 256 kB, which stay in a core's cache
_TIMES = 5


@dataclass(frozen=True)
class Limits:
    """Rates of this machine with all its cores.

    `copy` bytes a second, read and written together, of memory far beyond the caches; `count` 64-bit words a second
    whose differing bits are counted in the cache; `float32` and `bfloat16` operations a second (a multiply and an add
    are two) of a 3×3 convolution forward, `bfloat16` None where the processor does not compute in it.
    """

    copy: float
    count: float
    float32: float
    bfloat16: float | None


def measure_limits(*, copied: int = COPIED, batch: int = BATCH) -> Limits:
    """Measure the machine for some seconds; `copied` bytes and `batch` images at a time."""
    from ferrule.backends import choose_precision

    bfloat16 = _convolve("bfloat16", batch) if choose_precision("auto") == "bfloat16" else None
    return Limits(_copy(copied), _count(), _convolve("float32", batch), bfloat16)


def count_operations(model: Any) -> int:
    """Return the multiplies and adds of the convolutions and matrices of one forward pass of one image."""
    inner = sum(count_operations(layer) for layer in model.layers if hasattr(layer, "layers"))
    kernels = [(layer.kernel.shape, layer.output.shape) for layer in model.layers if hasattr(layer, "kernel")]
    return inner + sum(2 * math.prod(kernel) * math.prod(output[1:-1]) for kernel, output in kernels)


def _copy(size: int) -> float:
    workers = worker_count()
    parts = [(np.ones(size // workers, np.uint8), np.empty(size // workers, np.uint8)) for _ in range(workers)]
    return 2 * size / _on_all_cores(lambda part: np.copyto(parts[part][1], parts[part][0]))


def _count() -> float:
    workers, repeats = worker_count(), 200
    one, other = np.random.default_rng(0).integers(0, 1 << 63, (2, _WORDS), np.uint64)

    def count(part: int) -> None:
        words, bits = np.empty_like(one), np.empty(_WORDS, np.uint8)
        for _ in range(repeats):
            np.bitwise_xor(one, other, out=words)
            np.bitwise_count(words, out=bits)

    return workers * repeats * _WORDS / _on_all_cores(count)


def _convolve(dtype: str, batch: int) -> float:
    from ferrule.backends import keras

    image = keras.Input((SIDE, SIDE, CHANNELS), dtype=dtype)
    x, layers = image, 4
    for _ in range(layers):
        x = keras.layers.Conv2D(CHANNELS, 3, padding="same", use_bias=False, dtype=dtype)(x)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D(dtype=dtype)(x))
    images = keras.ops.ones((batch, SIDE, SIDE, CHANNELS), dtype)
    operations = 2 * layers * batch * SIDE**2 * 9 * CHANNELS**2
    return operations / _median_seconds(lambda: model.predict_on_batch(images))


def _on_all_cores(work: Callable[[int], None]) -> float:
    """Return the seconds that `work(part)` takes on each core at once."""
    with ThreadPoolExecutor(worker_count()) as executor:
        return _median_seconds(lambda: list(executor.map(work, range(worker_count()))))


def _median_seconds(work: Callable[[], object]) -> float:
    """Return the median of some runs after a first, which is not counted."""
    times = []
    for _ in range(_TIMES + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
