"""What simple methods reach on the same images, so that one sees what the network adds.

    python -m bench.baselines --write docs/recipes.md

Needs the stages augment and split and the extra dev. Each method learns from the original training images alone, those
that every epoch of the network takes; its settings are chosen on validation images, and the test images are scored
once, with the settings chosen. Two minutes on two cores.

The linear model is a discriminant analysis with a shrunk covariance, solved in one step: on FER-2013 no worse than a
logistic regression on principal components (38.2 % of PublicTest against 38.1 %) and better than one on HOG (48.7 %
against 47.8 %), which takes minutes.
"""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from bench.tables import show_tables
from ferrule.documents import write_table
from ferrule.emotions import EMOTIONS, class_ids
from ferrule.errors import DataError
from ferrule.metrics import score
from ferrule.samples import IMAGE_SIZE, load_samples

HEAD = ("baseline", "images of", "accuracy", "macro F1", "disgust recall", "training", "prediction")
SPLITS = {"test": "test", "val": "validation"}

_INTERVALS = {"bootstrap": 2000, "bins": 15, "seed": 2013}
_CHUNK = 256  # images at a time, so that memory does not grow with their number


@dataclass(frozen=True)
class Rows:
    """The images of a split, uint8 (n, 48, 48), and their class ids, int (n,)."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Method:
    """The settings to choose from, each by what the table calls it: ways to describe images, ways to tell classes."""

    features: Mapping[str, BaseEstimator]
    classifiers: Mapping[str, ClassifierMixin]


@dataclass(frozen=True)
class Baseline:
    """A method fitted with its best settings; `seconds` is what describing the training images and the fit took."""

    name: str
    features: Any
    classifier: Any
    seconds: float

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (n, k)."""
        return self.classifier.predict_proba(self.features.transform(images))


def main() -> int:
    """Print the table, or write it; return the exit status."""
    return show_tables("baselines", "docs/recipes.md", __doc__, measure_project)


def measure_project(root: Path) -> str:
    """Return the table for the project in `root`."""
    splits, classes = read_splits(root)
    return measure(splits, classes, list_methods(len(classes)))


def read_splits(root: Path) -> tuple[dict[str, Rows], tuple[str, ...]]:
    """Return the rows of train (originals only), val and test, and the classes that train has, in canonical order.

    Raises DataError where a stage has not run or one of the three is empty.
    """
    samples, path = load_samples(root / "artifacts" / "augment"), root / "artifacts" / "split" / "split.parquet"
    if not path.is_file():
        raise DataError(f"Expected {path}, which the split stage writes; it is not there; run `dvc repro split`.")
    split = pd.read_parquet(path)
    if not split["sample_id"].equals(samples.table["sample_id"]):
        raise DataError("Expected artifacts/split row by row with artifacts/augment; run the stage split again.")
    original = split["sample_id"] == split["parent_id"]
    classes = tuple(name for name in EMOTIONS if name in set(split["label"][split["split"] == "train"]))
    splits = {}
    for name in ("train", "val", "test"):
        rows = np.flatnonzero(original & (split["split"] == name) & split["label"].isin(classes))
        if not len(rows):
            raise DataError(f"Expected labelled {name} images; got none; change `split` in params.yaml.")
        splits[name] = Rows(samples.images[rows], np.array(class_ids(split["label"].iloc[rows], classes)))
    return splits, classes


def list_methods(n_classes: int) -> dict[str, Method]:
    """Return the methods that the table compares, by name."""
    balanced = np.full(n_classes, 1 / n_classes)
    weights = {"classes as they occur": None, "classes balanced": balanced}
    pixels = FunctionTransformer(flatten)
    return {
        "majority class": Method({"": pixels}, {"": DummyClassifier(strategy="prior")}),
        "PCA, linear discriminant": Method(
            {
                f"{n} components": make_pipeline(pixels, StandardScaler(), PCA(n, random_state=_INTERVALS["seed"]))
                for n in (50, 100, 200)
            },
            {word: LinearDiscriminantAnalysis(solver="lsqr", priors=priors) for word, priors in weights.items()},
        ),
        "HOG, linear discriminant": Method(
            {"": FunctionTransformer(describe_gradients)},
            {
                f"shrinkage {shrinkage}, {word}": LinearDiscriminantAnalysis("lsqr", shrinkage=shrinkage, priors=priors)
                for shrinkage in (0.1, 0.3)
                for word, priors in weights.items()
            },
        ),
    }


def measure(splits: Mapping[str, Rows], classes: tuple[str, ...], methods: Mapping[str, Method]) -> str:
    """Fit, choose and score each method; return the Markdown table."""
    rows = []
    for name, method in methods.items():
        baseline = choose(name, method, splits["train"], splits["val"])
        rows += [_row(baseline, part, splits[part], classes) for part in SPLITS]
    return write_table(HEAD, rows)


def choose(name: str, method: Method, train: Rows, val: Rows) -> Baseline:
    """Return the method with the settings that are right about most of `val`; the first of equals."""
    best, found = -1.0, None
    for described, features in method.features.items():
        start = time.perf_counter()
        features = clone(features)
        vectors = features.fit_transform(train.images)
        describing = time.perf_counter() - start
        for told, classifier in method.classifiers.items():
            start = time.perf_counter()
            classifier = clone(classifier).fit(vectors, train.labels)
            seconds = describing + time.perf_counter() - start
            settings = ", ".join(word for word in (described, told) if word)
            candidate = Baseline(f"{name} ({settings})" if settings else name, features, classifier, seconds)
            accuracy = float((candidate.predict(val.images).argmax(axis=1) == val.labels).mean())
            if accuracy > best:
                best, found = accuracy, candidate
    assert found is not None, f"{name} has no settings"
    return found


def flatten(images: np.ndarray) -> np.ndarray:
    """Return the pixels of each image, float32 (n, 2304), 0-255."""
    return images.reshape(len(images), -1).astype(np.float32)


def describe_gradients(images: np.ndarray, cell: int = 8, bins: int = 18) -> np.ndarray:
    """Return histograms of oriented gradients, float32 (n, d), of uint8 (n, 48, 48) (Dalal and Triggs, CVPR 2005).

    Directions fall into `bins` over the full circle, places into cells of `cell` pixels a side, both with linear
    interpolation; blocks of 2×2 cells are normalised, cut at 0.2 and normalised again. (OpenCV 5 has no HOGDescriptor.)
    """
    chunks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    return np.concatenate([_normalise_blocks(_orient(chunk.astype(np.float32), cell, bins), cell) for chunk in chunks])


def _orient(images: np.ndarray, cell: int, bins: int) -> np.ndarray:
    """Return how much gradient each cell has in each direction, float32 (n, bins, cells, cells)."""
    down, right = np.zeros_like(images), np.zeros_like(images)
    down[:, 1:-1] = images[:, 2:] - images[:, :-2]
    right[:, :, 1:-1] = images[:, :, 2:] - images[:, :, :-2]
    length, place = np.hypot(down, right), np.arctan2(down, right) % (2 * np.pi) * np.float32(bins / (2 * np.pi))
    centres = np.arange(cell / 2, IMAGE_SIZE, cell) - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(IMAGE_SIZE) - centres[:, np.newaxis]) / cell).astype(np.float32)
    maps = []
    for number in range(bins):
        apart = np.abs(place - number)
        maps.append(weights @ (length * np.maximum(0, 1 - np.minimum(apart, bins - apart))) @ weights.T)
    return np.stack(maps, axis=1)


def _normalise_blocks(cells: np.ndarray, cell: int) -> np.ndarray:
    """Return the histograms of overlapping blocks of 2×2 cells, each of length 1, or near 0 where nothing is seen."""
    blocks = np.concatenate([cells[:, :, :-1, :-1], cells[:, :, :-1, 1:], cells[:, :, 1:, :-1], cells[:, :, 1:, 1:]], 1)
    blocks = blocks / (np.linalg.norm(blocks, axis=1, keepdims=True) + cell)  # a block of gradients below 1 fades out
    blocks = np.minimum(blocks, 0.2)
    return (blocks / (np.linalg.norm(blocks, axis=1, keepdims=True) + 1e-6)).reshape(len(cells), -1)


def _row(baseline: Baseline, part: str, rows: Rows, classes: tuple[str, ...]) -> list[str]:
    """Return the row of one baseline on one split."""
    start = time.perf_counter()
    probabilities = baseline.predict(rows.images)
    rate = len(rows.labels) / (time.perf_counter() - start)
    scores = score(rows.labels, probabilities, classes, **_INTERVALS)
    disgust = scores["classes"].get("disgust")
    cells = [_cell(scores["accuracy"]), _cell(scores["macro_f1"]), _cell(disgust["recall"]) if disgust else ""]
    times = [f"{baseline.seconds:.1f} s", f"{rate:,.0f} images/s"] if part == "test" else ["", ""]
    return [baseline.name, SPLITS[part], *cells, *times]


def _cell(metric: Mapping[str, float]) -> str:
    return f"**{metric['value']:.1%}** ({metric['low'] * 100:.1f}-{metric['high'] * 100:.1f})"


if __name__ == "__main__":
    sys.exit(main())
