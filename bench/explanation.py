"""Whether an explanation is faithful: what it shows is deleted, and the class should go.

    python -m bench.explanation --write docs/predict.md

Of images of PublicTest the pixels that speak most for the class they are taken for become the mean of the image, a
growing share of them (the deletion test; Petsiuk et al. 2018, "RISE"). The lower the probability falls, and the sooner,
the better the map. Needs the stage ingest on FER-2013; the model is the one that ships, which was not trained on
PublicTest. No image of PrivateTest is looked at. Some minutes on two cores.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from bench.tables import show_tables
from ferrule.documents import write_table
from ferrule.explanation import GRID, explain
from ferrule.portable.model import PortableModel, open_pretrained
from ferrule.samples import IMAGE_SIZE, load_samples

IMAGES = 500
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)  # of the pixels that are deleted

EXPLAINED = "what `--explain` shows as for it"

_SEED = 2013

Maps = Callable[[PortableModel, np.ndarray, np.random.Generator], np.ndarray]  # images (n, 48, 48) to maps (n, 48, 48)


def measure(root: Path, *, images: int = IMAGES) -> str:
    """Return the table, Markdown."""
    samples = load_samples(root / "artifacts" / "ingest")
    public = np.flatnonzero((samples.table["usage"] == "PublicTest").to_numpy())
    rng, model = np.random.default_rng(_SEED), open_pretrained()
    faces = np.array(samples.images[np.sort(rng.choice(public, images, replace=False))])
    probabilities = model.probabilities(faces)
    said, before = probabilities.argmax(axis=1), probabilities.max(axis=1).mean()
    maps = {name: (cost, draw(model, faces, rng)) for name, (cost, draw) in WAYS.items()}
    maps["what `--explain` shows as against it"] = (str(GRID**2 + 1), -maps[EXPLAINED][1])
    rows = []
    for name, (cost, drawn) in maps.items():
        after = delete(model, faces, said, drawn)
        rows.append([name, cost, *(f"{100 * share:.1f} %" for share in (before, *after, after.mean()))])
    head = ["deleted first", "images asked about", "nothing", *(f"{100 * share:.0f} %" for share in SHARES)]
    return f"{images} images:\n\n{write_table([*head, 'mean'], rows)}"


def delete(model: PortableModel, images: np.ndarray, classes: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return the mean probability of `classes` (n,) without the SHARES of pixels that are highest in `maps`."""
    flat = maps.reshape(len(maps), -1)
    ranks = np.argsort(np.argsort(-flat, axis=1, kind="stable"), axis=1).reshape(images.shape)
    means = images.mean(axis=(1, 2), keepdims=True)
    told = []
    for share in SHARES:
        rest = np.where(ranks < share * flat.shape[1], means, images).round().astype(np.uint8)
        told.append(model.probabilities(rest)[np.arange(len(images)), classes].mean())
    return np.array(told)


def _explain_all(model: PortableModel, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.stack([explain(model, image) for image in images])


def _take_middle(model: PortableModel, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    place = np.linspace(-1, 1, IMAGE_SIZE)
    return np.repeat(-(place[:, None] ** 2 + place**2)[None], len(images), axis=0)


def _take_any(model: PortableModel, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.stack([_enlarge(each) for each in rng.random((len(images), GRID, GRID))])


def _enlarge(parts: np.ndarray) -> np.ndarray:
    return cv2.resize(parts.astype(np.float32), (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_CUBIC)


WAYS: dict[str, tuple[str, Maps]] = {
    EXPLAINED: (str(GRID**2 + 1), _explain_all),
    "the middle of the image": ("0", _take_middle),
    "parts at random": ("0", _take_any),
}


if __name__ == "__main__":
    sys.exit(show_tables("explanation", "docs/predict.md", __doc__, measure))
