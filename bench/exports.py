"""Which way to run the network on a CPU: the network that ships, in every runtime that could have carried it.

    python -m bench.exports --write docs/export.md

Needs the stage ingest on FER-2013. Accuracy is that of PublicTest; no image of PrivateTest is looked at. The runtimes
are asked in turn, round after round, so that whatever else the machine does hits them alike. Some minutes on two cores.
"""

import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from bench.data import select_usage
from bench.rows import seconds
from bench.tables import show_tables
from ferrule.backends import tf, without_chatter
from ferrule.documents import write_table
from ferrule.emotions import class_ids
from ferrule.engine import worker_count
from ferrule.portable.bundle import MODELS, find_model, read_bundle, read_model
from ferrule.portable.session import Session
from ferrule.pretrained import FOLDER, load_pretrained
from ferrule.samples import load_samples

BATCHES = {1: 64, 256: 1024}  # images at a time, and how many of them
ROUNDS = 7
HEAD = ("runtime", "1 at a time", "256 at a time", "as TensorFlow says", "right on PublicTest", "file")

Ask = Callable[[np.ndarray], np.ndarray]  # images uint8 (b, 48, 48) to probabilities (b, k)


@dataclass(frozen=True)
class Runtime:
    """A way to run the network: how to ask it, and the size of its file in bytes."""

    ask: Ask
    size: int | None


def main() -> int:
    """Print the table, or write it; return the exit status."""
    return show_tables("exports", "docs/export.md", __doc__, measure_project)


def measure_project(root: Path) -> str:
    """Return the table for the images of the project in `root`."""
    public = select_usage(load_samples(root / "artifacts" / "ingest"), "PublicTest")
    return measure(public.images, np.array(class_ids(public.table["label"], load_pretrained().classes)))


def measure(images: np.ndarray, labels: np.ndarray, *, batches: dict[int, int] = BATCHES, rounds: int = ROUNDS) -> str:
    """Return a row a runtime, as a Markdown table, of `images` uint8 (n, 48, 48) and their class ids (n,)."""
    runtimes = open_runtimes(images)
    rates = [
        {name: statistics.median(found) for name, found in race(runtimes, images[:count], batch, rounds).items()}
        for batch, count in batches.items()
    ]
    said = {name: ask_all(runtime.ask, images, max(batches)).argmax(axis=1) for name, runtime in runtimes.items()}
    own = next(iter(said.values()))
    rows = [
        (
            name,
            *(f"{found[name]:,.0f} images/s" for found in rates),
            _percent((said[name] == own).mean(), 2),
            _percent((said[name] == labels).mean(), 1),
            "" if runtime.size is None else f"{runtime.size / 1e6:.1f} MB",
        )
        for name, runtime in runtimes.items()
    ]
    return write_table(HEAD, rows)


def race(runtimes: dict[str, Runtime], images: np.ndarray, batch: int, rounds: int) -> dict[str, list[float]]:
    """Return the images a second of each runtime in each round, after one that warms up."""
    rates: dict[str, list[float]] = {name: [] for name in runtimes}
    for number in range(rounds + 1):
        for name, runtime in runtimes.items():
            took = seconds(partial(ask_all, runtime.ask, images, batch))
            if number:
                rates[name].append(len(images) / took)
    return rates


def ask_all(ask: Ask, images: np.ndarray, batch: int) -> np.ndarray:
    """Return the probabilities (n, k) of `images`, asked about in batches of one size: the last is filled up."""
    chunks = [images[start : start + batch] for start in range(0, len(images), batch)]
    filled = [np.concatenate([chunk, np.zeros((batch - len(chunk), *chunk.shape[1:]), np.uint8)]) for chunk in chunks]
    return np.concatenate([ask(chunk) for chunk in filled])[: len(images)]


def open_runtimes(images: np.ndarray) -> dict[str, Runtime]:
    """Return every way to run the network that ships; 8-bit TensorFlow Lite is calibrated with the first `images`."""
    model, facts = load_pretrained().build(), read_bundle(FOLDER)
    files = {precision: find_model(facts, precision) for precision in MODELS}
    graphs = {precision: read_model(FOLDER, name, facts) for precision, name in files.items() if name}
    return {
        "TensorFlow, `predict_on_batch`": Runtime(lambda batch: model.predict_on_batch(_widen(batch)), None),
        "TensorFlow, `tf.function`": Runtime(_compile(model), None),
        "TensorFlow, XLA": Runtime(_compile(model, jit_compile=True), None),
        "LiteRT (TensorFlow Lite), float32": _convert(model, None),
        "LiteRT (TensorFlow Lite), int8": _convert(model, images[:256]),
        "OpenCV, float32": _open_opencv(graphs["float32"]),
        **{
            f"ONNX Runtime, {precision}": Runtime(Session(graph).ask, len(graph)) for precision, graph in graphs.items()
        },
    }


def _widen(images: np.ndarray) -> np.ndarray:
    return images[..., None].astype(np.float32)


def _compile(model: Any, **options: Any) -> Ask:
    function = tf.function(model, **options)
    return lambda batch: function(_widen(batch)).numpy()


def _convert(model: Any, calibration: np.ndarray | None) -> Runtime:
    """Return the network in TensorFlow Lite, in 8 bits where `calibration` shows the range of its values."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([_widen(image[None])] for image in calibration)
    with without_chatter(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its move to another package
        content = converter.convert()
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=worker_count())
    interpreter.allocate_tensors()

    def ask(batch: np.ndarray) -> np.ndarray:
        given, told = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        if given["shape"][0] != len(batch):
            interpreter.resize_tensor_input(given["index"], (len(batch), *given["shape"][1:]))
            interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], _widen(batch))
        interpreter.invoke()
        return interpreter.get_tensor(told["index"])

    return Runtime(ask, len(content))


def _open_opencv(graph: bytes) -> Runtime:
    cv2.setNumThreads(worker_count())
    with TemporaryDirectory() as place:
        path = Path(place) / "model.onnx"
        path.write_bytes(graph)
        net = cv2.dnn.readNetFromONNX(str(path))

    def ask(batch: np.ndarray) -> np.ndarray:
        net.setInput(_widen(batch))
        return np.asarray(net.forward("probabilities"))

    return Runtime(ask, len(graph))


def _percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %"


if __name__ == "__main__":
    sys.exit(main())
