"""What smoothing over time takes away (flicker) and what it costs (a change seen late, a brief one not at all).

    python -m bench.video --write docs/video.md

Needs the stage ingest on FER-2013. Films are made of PublicTest, on which the model that ships was not trained: a face
is looked at five times a second, and each time it is cropped a little otherwise, as a detector does. No image of
PrivateTest is looked at. About a minute on two cores.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np

from bench.tables import show_tables
from ferrule.documents import write_table
from ferrule.emotions import class_ids
from ferrule.portable.model import PortableModel, open_pretrained
from ferrule.samples import IMAGE_SIZE, Samples, load_samples
from ferrule.video.analyse import RATE
from ferrule.video.smoothing import smooth

SPANS = (0.0, 0.2, 0.3, 0.4, 0.8, 1.6)  # seconds
FILMS = 200  # of each kind
LOOKS = 40  # in a film: eight seconds
BRIEF = {"0.6 s": 3, "1 s": 5}  # looks for which a brief expression lasts

_SEED = 2013
_JITTER = {"shift": 1.5, "turn": 2.0, "zoom": 0.03, "light": 0.04, "noise": 4.0}  # standard deviations
_PAST_ALONE = 0.4  # seconds; of the filter that knows nothing else

Smoother = Callable[[np.ndarray], np.ndarray]  # probabilities (n, k) of evenly spaced looks, before and after


def main() -> int:
    """Print the table, or write it; return the exit status."""
    return show_tables(
        "video", "docs/video.md", __doc__, lambda root: measure(load_samples(root / "artifacts" / "ingest"))
    )


def measure(samples: Samples, model: PortableModel | None = None) -> str:
    """Return the table, Markdown, a row a span; `model` is by default the one that ships."""
    model = model or open_pretrained()
    public = samples.select((samples.table["usage"] == "PublicTest").to_numpy())
    labels = np.array(class_ids(public.table["label"], model.classes))
    rng = np.random.default_rng(_SEED)
    still, mixed, truth = film_faces(public.images, labels, model, rng)
    changed = pair_films(still, rng)
    rows = [
        [
            name,
            *rate_steadiness(smoother, still, truth),
            *rate_steadiness(smoother, mixed, truth),
            *rate_changes(smoother, *changed),
        ]
        for name, smoother in list_smoothers().items()
    ]
    head = ["smoothing", "flicker", "right", "flicker, other pictures", "right", "late by", "nine in ten within"]
    return write_table([*head, *(f"{name} long: seen" for name in BRIEF)], rows)


def list_smoothers() -> Mapping[str, Smoother]:
    """Return what is compared, by the name of its row."""
    both = {f"{span:g} s" if span else "none": partial(smooth_looks, span=span) for span in SPANS}
    return both | {f"{_PAST_ALONE:g} s, of the past alone": partial(smooth_past, span=_PAST_ALONE)}


def smooth_looks(probabilities: np.ndarray, *, span: float) -> np.ndarray:
    """Return what is smoothed as `ferrule predict` does."""
    return smooth(np.arange(len(probabilities)) / RATE, probabilities, span)


def smooth_past(probabilities: np.ndarray, *, span: float) -> np.ndarray:
    """Return what is smoothed by each look's own past, as one must who cannot wait."""
    ends = range(1, len(probabilities) + 1)
    return np.stack([smooth_looks(probabilities[:end], span=span)[-1] for end in ends])


def film_faces(
    images: np.ndarray, labels: np.ndarray, model: PortableModel, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the model says in films of one image each, and of LOOKS images of one class each, and the classes.

    The probabilities are (FILMS, LOOKS, k), the classes (FILMS,) and the same for both.
    """
    chosen = rng.choice(len(images), FILMS, replace=False)
    others = np.stack([rng.choice(np.flatnonzero(labels == label), LOOKS) for label in labels[chosen]])
    films = [np.repeat(chosen, LOOKS), others.ravel()]
    told = [model.probabilities(np.stack([jitter(images[row], rng) for row in film])) for film in films]
    still, mixed = (each.reshape(FILMS, LOOKS, -1) for each in told)
    return still, mixed, labels[chosen]


def jitter(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image, uint8 (48, 48), as the next frame may show it: moved, turned, nearer, lighter, with noise."""
    turn = cv2.getRotationMatrix2D(
        (IMAGE_SIZE / 2, IMAGE_SIZE / 2), rng.normal(0, _JITTER["turn"]), 1 + rng.normal(0, _JITTER["zoom"])
    )
    turn[:, 2] = turn[:, 2] + rng.normal(0, _JITTER["shift"], 2)
    moved = cv2.warpAffine(image, turn, image.shape, borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    lit = moved * (1 + rng.normal(0, _JITTER["light"])) + rng.normal(0, _JITTER["noise"], moved.shape)
    return lit.clip(0, 255).astype(np.uint8)


def pair_films(still: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of films (m, LOOKS, k) that the model mostly names differently: what is a change to it."""
    order = rng.permutation(len(still))
    first, second = still, still[order]
    different = mostly(first) != mostly(second)
    return first[different], second[different]


def mostly(films: np.ndarray) -> np.ndarray:
    """Return the class (m,) that each of the films (m, n, k) is given most often."""
    return np.array([np.bincount(film.argmax(axis=1)).argmax() for film in films])


def rate_steadiness(smoother: Smoother, films: np.ndarray, truth: np.ndarray) -> list[str]:
    """Return the changes of label a second, where nothing changes, and the share of looks that are named rightly."""
    named = np.stack([smoother(film).argmax(axis=1) for film in films])
    flicker = (np.diff(named, axis=1) != 0).mean() * RATE
    return [f"{flicker:.2f} a second", f"{(named == truth[:, None]).mean():.1%}"]


def rate_changes(smoother: Smoother, first: np.ndarray, second: np.ndarray) -> list[str]:
    """Return how much later than it is a lasting change is seen, and which share of brief ones is seen at all.

    `first` and `second` (m, LOOKS, k) are films that are mostly named differently.
    """
    half, after = LOOKS // 2, mostly(second)
    lasting = np.concatenate([first[:, :half], second[:, half:]], axis=1)
    late = np.array(
        [find_change(smoother(film).argmax(axis=1), label) - half for film, label in zip(lasting, after, strict=True)]
    )
    cells = [f"{np.median(late) / RATE:+.1f} s", f"{np.quantile(np.abs(late), 0.9) / RATE:.1f} s"]
    for looks in BRIEF.values():
        brief = np.concatenate([first[:, : half - looks], second[:, half - looks : half], first[:, half:]], axis=1)
        named = [smoother(film).argmax(axis=1)[half - looks : half] for film in brief]
        cells.append(f"{np.mean([label in told for told, label in zip(named, after, strict=True)]):.0%}")
    return cells


def find_change(named: np.ndarray, label: int) -> int:
    """Return from which look on a film is given `label` for good: what it is given most often from there on."""
    rights = np.cumsum(np.where(named == label, 1, -1)[::-1])[::-1]  # the place that best parts other from `label`
    return int(rights.argmax())


if __name__ == "__main__":
    sys.exit(main())
