"""Draw the pictures of the documents; none shows a face of a dataset.

    python docs/draw_pictures.py                                # the embedded sample, for the README
    python docs/draw_pictures.py learning_curves NAME=PATH …    # of recipes, from the history.csv of each
    python docs/draw_pictures.py confusion NAME=PATH …          # of recipes, from the predictions.parquet of each

NAME is what the panel is called; the last two are for docs/recipes.md.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ferrule.charts.evaluation import confusion_charts
from ferrule.charts.style import SheetRow, image_sheet, save_figure
from ferrule.charts.training import recipe_curves
from ferrule.emotions import EMOTIONS, class_ids
from ferrule.errors import DataError, FerruleError
from ferrule.metrics import confusion_matrix
from ferrule.predictions import AVERAGED
from ferrule.synthetic import paint_portraits

PICTURES = {
    "sample": "sample.png",
    "learning_curves": "recipes_learning_curves.png",
    "confusion": "recipes_confusion.png",
}
PEOPLE = 12
SEED = 5


def main(arguments: Sequence[str] | None = None, folder: Path = Path(__file__).parent / "pictures") -> int:
    """Draw one picture into `folder`; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", choices=PICTURES, nargs="?", default="sample")
    parser.add_argument("sources", metavar="NAME=PATH", nargs="*", type=_parse_source)
    args = parser.parse_args(arguments)
    if (args.picture == "sample") == bool(args.sources):
        parser.error("learning_curves and confusion take one NAME=PATH or more, sample takes none")
    try:
        save_figure(_draw(args.picture, dict(args.sources)), folder / PICTURES[args.picture])
    except (FerruleError, OSError) as error:
        print(f"draw_pictures: {error}", file=sys.stderr)
        return 1
    return 0


def draw_sample() -> Figure:
    """Draw the same people with each expression."""
    faces = [paint_portraits(np.full(PEOPLE, number), SEED) for number in range(len(EMOTIONS))]
    rows = [SheetRow(images, name) for images, name in zip(faces, EMOTIONS, strict=True)]
    return image_sheet(
        rows, "The embedded sample: drawn, not photographed", "the same twelve people, seven expressions"
    )


def draw_learning_curves(sources: Mapping[str, Path]) -> Figure:
    """Draw the accuracy by epoch of the trainings whose history.csv are given."""
    histories = {name: pd.read_csv(path) for name, path in sources.items()}
    return recipe_curves(histories, "training images distorted, validation images not; both of the epoch's size")


def draw_confusion(sources: Mapping[str, Path]) -> Figure:
    """Draw the confusion matrices of the test images, with test-time averaging, whose predictions.parquet are given.

    Raises DataError where they are not predictions of the same test images.
    """
    tables = {name: _read_test(path) for name, path in sources.items()}
    first = next(iter(tables.values()))
    for name, table in tables.items():
        if not table[["sample_id", "label"]].equals(first[["sample_id", "label"]]):
            raise DataError(
                f"Expected predictions of the same test images; {name} has others; evaluate all on one split."
            )
    classes = tuple(name for name in EMOTIONS if f"probability_{name}" in first)
    matrices = {name: _count_confusion(table, classes) for name, table in tables.items()}
    subtitle = f"{len(first):,} test images, with test-time averaging; numbers are per cent of a row"
    return confusion_charts(matrices, classes, subtitle)


def _draw(picture: str, sources: Mapping[str, Path]) -> Figure:
    if picture == "sample":
        return draw_sample()
    return {"learning_curves": draw_learning_curves, "confusion": draw_confusion}[picture](sources)


def _read_test(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    return table[table["split"] == "test"].reset_index(drop=True)


def _count_confusion(table: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    labels, predicted = (np.array(class_ids(table[name], classes)) for name in ("label", f"predicted{AVERAGED}"))
    return confusion_matrix(labels, predicted, len(classes))


def _parse_source(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected NAME=PATH; got {text!r}")
    return name, Path(path)


if __name__ == "__main__":
    sys.exit(main())
