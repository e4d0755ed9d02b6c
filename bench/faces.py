"""Faces of FER-2013 found again in photos, and made-up images told from faces, with what ships.

    python -m bench.faces --write docs/faces.md

Needs the stage ingest on FER-2013. The model was not trained on PublicTest, whose images these are; no image of
PrivateTest is looked at. Some minutes on two cores.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from bench.nonfaces import CHANGED, NONFACES
from bench.tables import show_tables
from ferrule.documents import write_table
from ferrule.emotions import class_ids
from ferrule.errors import DataError
from ferrule.faces.crops import BLANK, crop_face, judge_crops, measure_likeness
from ferrule.faces.detector import Face, MtcnnDetector
from ferrule.faces.examples import example_photos
from ferrule.layouts.pictures import resize_image
from ferrule.metrics import wilson
from ferrule.portable.model import PortableModel, open_pretrained
from ferrule.samples import Samples, load_samples

SIDES = (96, 144, 200)  # pixels that an image of 48 is enlarged to
IMAGES = 1500  # of PublicTest that are found again at each size
MADE_UP = 500  # images of each kind
LOST = 0.01  # share of PublicTest at which ways to judge are compared
MEGAPIXELS = (0.3, 1.0, 2.6, 12.0)
FOUND = (
    "face in the photo",
    "found",
    "frame / width of the box",
    "middle of the frame above the box's",
    "spread, by width / height / area",
    "accuracy, original",
    "enlarged and cut exactly",
    "found and cut",
)
COMPARED = ("judged by", "made-up images told, mean", "the kind told least")
JUDGED = ("images", "n", "said to show no face")
TIMED = ("photo", "seconds")

_SEED, _REPEATS = 2013, 3

Line = tuple[str, ...]  # of a table


def main() -> int:
    """Print the tables, or write them; return the exit status."""
    return show_tables("faces", "docs/faces.md", __doc__, measure_project)


def measure_project(root: Path) -> str:
    """Return the tables for the project in `root`; raises DataError where it is not of FER-2013."""
    samples = load_samples(root / "artifacts" / "ingest")
    rows = (samples.table["usage"] == "PublicTest").to_numpy()
    if not rows.any():
        raise DataError("Expected images of PublicTest, as FER-2013 has; there are none; use FER-2013 and run ingest.")
    public, model = samples.select(rows), open_pretrained()
    return "\n\n".join(
        [
            write_table(FOUND, measure_found(public, model)),
            write_table(COMPARED, compare_judges(public, model)),
            write_table(JUDGED, measure_judged(public)),
            write_table(TIMED, measure_speed()),
        ]
    )


def measure_found(public: Samples, model: PortableModel, count: int = IMAGES) -> list[Line]:
    """Return a line a size: how many are found, where FER-2013's frame lies, what finding and cutting costs."""
    chosen = np.random.default_rng(_SEED).permutation(len(public))[:count]
    images = public.images[chosen]
    labels = np.array(class_ids(public.table["label"].iloc[chosen], model.classes))
    detector = MtcnnDetector()
    return [_measure_side(images, labels, side, detector, model) for side in SIDES]


def compare_judges(public: Samples, model: PortableModel, count: int = MADE_UP) -> list[Line]:
    """Return a line a score by which one may judge: how many made-up images lie below all but 1 % of PublicTest."""
    judges: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "MTCNN's second and third network": measure_likeness,
        "its second network": lambda images: measure_likeness(images, ["rnet"]),
        "its third network": lambda images: measure_likeness(images, ["onet"]),
        "the model's confidence": lambda images: model.probabilities(images).max(axis=1),
        "the model's embedding (Mahalanobis distance)": _fit_distance(model, public.images),
    }
    made_up = {kind: images for kind, images in _make_up(count) if not kind.startswith("blank")}
    lines: list[Line] = []
    for name, judge in judges.items():
        limit = np.quantile(judge(public.images), LOST)
        told = {kind: (judge(images) < limit).mean() for kind, images in made_up.items()}
        worst = min(told, key=lambda kind: told[kind])
        lines.append((name, f"{np.mean(list(told.values())):.1%}", f"{told[worst]:.1%} ({worst})"))
    return lines


def measure_judged(public: Samples, count: int = MADE_UP) -> list[Line]:
    """Return a line a kind of image: how many are said to show no face."""
    verdicts = judge_crops(public.images)
    blank = sum(verdict == BLANK for verdict in verdicts)
    lines: list[Line] = [("PublicTest", f"{len(public):,}", f"{_say(verdicts)}, {blank} of them blank")]
    if "votes_NF" in public.table:
        lines += _measure_votes(public, verdicts)
    changed = [(name, change(public.images[:count])) for name, change in CHANGED.items()]
    lines += [(kind, f"{len(images):,}", _say(judge_crops(images))) for kind, images in [*_make_up(count), *changed]]
    start = time.perf_counter()
    judge_crops(public.images)
    return [*lines, ("images a second", "", f"{len(public) / (time.perf_counter() - start):,.0f}")]


def measure_speed() -> list[Line]:
    """Return a line a size of photo: how long it takes to find the faces of a drawn group in it."""
    detector, group = MtcnnDetector(), dict(example_photos())["friends"]
    detector.detect(group)
    lines: list[Line] = []
    for megapixels in MEGAPIXELS:
        factor = np.sqrt(megapixels * 1e6 / (group.shape[0] * group.shape[1]))
        photo = cv2.resize(group, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        lines.append((f"{megapixels:g} megapixels, three faces", f"{_time(detector, photo):.2f}"))
    return lines


def place_in_photo(image: np.ndarray, side: int) -> np.ndarray:
    """Return a photo, uint8 (2 side, 2 side, 3): `image` in the middle of its own outermost pixels, blurred."""
    large, border = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC), side // 2
    framed = cv2.copyMakeBorder(large, border, side - border, border, side - border, cv2.BORDER_REPLICATE)
    photo = cv2.GaussianBlur(framed, (0, 0), side / 16)
    photo[border : border + side, border : border + side] = large
    return np.repeat(photo[..., None], 3, axis=2)


def _make_up(count: int) -> Iterator[tuple[str, np.ndarray]]:
    for number, (kind, draw) in enumerate(NONFACES.items()):
        yield kind, draw(count, np.random.default_rng([_SEED, number]))


def _fit_distance(model: PortableModel, images: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return what tells how near the embeddings of `images` those of others are, the nearest being 0."""
    embeddings = model.embeddings(images).astype(np.float64)
    middle = embeddings.mean(axis=0)
    precision = np.linalg.pinv(np.cov(embeddings, rowvar=False))

    def measure(others: np.ndarray) -> np.ndarray:
        away = model.embeddings(others) - middle
        nearness: np.ndarray = -np.einsum("ni,ij,nj->n", away, precision, away)
        return nearness

    return measure


def _measure_side(
    images: np.ndarray, labels: np.ndarray, side: int, detector: MtcnnDetector, model: PortableModel
) -> Line:
    photos = (place_in_photo(image, side) for image in images)
    seen = [(number, photo, faces[0]) for number, photo in enumerate(photos) if (faces := detector.detect(photo))]
    rows = [number for number, _, _ in seen]
    middle = slice(side // 2, side // 2 + side)
    exact = np.stack([resize_image(np.ascontiguousarray(photo[middle, middle, 0])) for _, photo, _ in seen])
    cut = np.stack([crop_face(photo, face) for _, photo, face in seen])
    accuracies = [
        (model.probabilities(crops).argmax(axis=1) == labels[rows]).mean() for crops in (images[rows], exact, cut)
    ]
    faces = [face for _, _, face in seen]
    scale, up = np.median([_locate(face, side) for face in faces], axis=0)
    share, low, high = wilson(len(rows), len(images))
    return (
        f"{side} pixels",
        f"**{share:.1%}** ({100 * low:.1f}-{100 * high:.1f})",
        f"{scale:.3f}",
        f"{up:.3f}",
        " / ".join(f"{spread:.1%}" for spread in _measure_spreads(faces)),
        *(f"{accuracy:.1%}" for accuracy in accuracies),
    )


def _locate(face: Face, side: int) -> tuple[float, float]:
    """Return how large the frame is, and how far its middle lies above that of the box, in widths of the box."""
    return side / face.width, (face.y + face.height / 2 - side) / face.width


def _measure_spreads(faces: Sequence[Face]) -> np.ndarray:
    """Return how far the frame typically is from its median size, if told from the width, height and area of the box.

    It is the median deviation of the logarithms: 0.1 is about 10 %.
    """
    sizes = np.log([(face.width, face.height, face.area**0.5) for face in faces])
    spreads: np.ndarray = np.median(np.abs(sizes - np.median(sizes, axis=0)), axis=0)
    return spreads


def _measure_votes(public: Samples, verdicts: Sequence[str | None]) -> list[Line]:
    """Return a line for what most of FER+'s voters saw no face in, and one for what none did."""
    votes = public.table["votes_NF"].to_numpy()
    lines: list[Line] = []
    for name, rows in (
        ("no face, say 5 or more of FER+'s 10 voters", votes >= 5),
        ("a face, say all of them", votes == 0),
    ):
        chosen = [verdict for verdict, row in zip(verdicts, rows, strict=True) if row]
        lines.append((f"of these: {name}", f"{len(chosen):,}", _say(chosen)))
    return lines


def _say(verdicts: Sequence[str | None]) -> str:
    share, low, high = wilson(sum(verdict is not None for verdict in verdicts), len(verdicts))
    return f"**{share:.1%}** ({100 * low:.1f}-{100 * high:.1f})"


def _time(detector: MtcnnDetector, photo: np.ndarray) -> float:
    """Return the shortest of a few times, in seconds."""
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        detector.detect(photo)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
