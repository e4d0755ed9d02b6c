"""Faces of which two models say different things."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ferrule.charts.style import GRID, SheetRow, image_sheet
from ferrule.palette import CLASS_COLOURS

_COLUMNS = 10


def disagreement_sheet(images: np.ndarray, table: pd.DataFrame, one: str, other: str) -> Figure:
    """Show for each label some images of which only `one`, then of which only `other` is right.

    `images` is uint8 (n, 48, 48), row by row with `table` (of `contest.list_disagreements`). Frames have the colour of
    what the one that errs says.
    """
    rows = []
    for label in sorted(table["label"].unique()):
        for right, wrong in ((one, other), (other, one)):
            chosen = np.flatnonzero((table["label"] == label) & (table["right"] == right))[:_COLUMNS]
            said = table[wrong].iloc[chosen]
            captions = [f"{each}\n{number}" for each, number in zip(said, table["sample_id"].iloc[chosen], strict=True)]
            frames = [CLASS_COLOURS.get(each, GRID) for each in said]
            if len(chosen):
                rows.append(SheetRow(images[chosen], f"{label}\nonly {right} right", captions, frames))
    subtitle = "rows: the label, and who is right; beneath: what the other says, and the number of the image"
    return image_sheet(rows, f"Where {one} and {other} differ", subtitle)
