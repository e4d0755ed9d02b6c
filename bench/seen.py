"""How often copies of training images are known again by their hashes alone, on FER-2013.

    python -m bench.seen --write docs/evaluate.md

Needs the stages ingest and audit on FER-2013; two minutes of one core. What a model is taken to have seen is Training;
asked about are its own images in other forms, and PublicTest, of which audit says by the detail of the images which
have a copy there. No image of PrivateTest is looked at.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from bench.data import select_usage
from bench.tables import show_tables
from ferrule.documents import say_score, write_table
from ferrule.metrics import wilson
from ferrule.samples import IMAGE_SIZE, Samples, load_samples
from ferrule.seen import NONE, find_seen, list_seen

HEAD = ("images", "number", "taken for copies of Training")

_DRAWN, _SEED = 3000, 2013
_SIDE = (IMAGE_SIZE, IMAGE_SIZE)


def save_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Return a grey image as it comes back from a JPEG file."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    found = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert found is not None, "it was encoded in the line before"
    return found


def enlarge(image: np.ndarray, side: int) -> np.ndarray:
    """Return an image as it comes back from a file of `side` pixels a side."""
    large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(large, _SIDE, interpolation=cv2.INTER_AREA)


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as JPEG, quality 90": lambda image: save_jpeg(image, 90),
    "as JPEG, quality 50": lambda image: save_jpeg(image, 50),
    "enlarged to 224×224": lambda image: enlarge(image, 224),
    "three quarters of the contrast": lambda image: (0.75 * image + 32).astype(np.uint8),
    "histogram equalised": cv2.equalizeHist,
    "cropped by 2 pixels on each side": lambda image: cv2.resize(image[2:-2, 2:-2], _SIDE),
}


def main() -> int:
    """Print the table, or write it; return the exit status."""
    return show_tables("seen", "docs/evaluate.md", __doc__, measure_project)


def measure_project(root: Path) -> str:
    """Return the table for the images of the project in `root`."""
    samples = load_samples(root / "artifacts" / "ingest")
    groups = pd.read_parquet(root / "artifacts" / "audit" / "groups.parquet")
    return measure(samples, groups.set_index("sample_id")["group_id"])


def measure(samples: Samples, groups: "pd.Series[int]") -> str:
    """Return how many copies, and how many images without one, are taken for near copies, as a Markdown table."""
    training, public = (select_usage(samples, usage) for usage in ("Training", "PublicTest"))
    ids = training.table["sample_id"].to_numpy()
    seen = list_seen(pd.DataFrame({"sample_id": ids, "parent_id": ids, "split": "train"}), training.images)
    drawn = training.images[np.random.default_rng(_SEED).permutation(len(training))[:_DRAWN]]
    rows = [_count(f"of Training, {name}", np.stack(list(map(form, drawn))), seen) for name, form in FORMS.items()]
    known = set(groups[ids])
    twins = groups[public.table["sample_id"]].isin(known).to_numpy()
    exact = np.isin(find_seen(public.images, seen[["pixel_hash"]]), NONE, invert=True)
    rows.append(_count("of PublicTest with a near, not exact, copy", public.images[twins & ~exact], seen))
    rows.append(_count("of PublicTest without a copy", public.images[~twins], seen))
    return write_table(HEAD, rows)


def _count(name: str, images: np.ndarray, seen: pd.DataFrame) -> tuple[str, ...]:
    found = int((find_seen(images, seen) != NONE).sum())
    return (name, f"{len(images):,}", say_score(wilson(found, len(images)).as_dict()))


if __name__ == "__main__":
    sys.exit(main())
