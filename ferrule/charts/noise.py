"""The labels that are suspected most, with what the images are said to show instead."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ferrule.charts.style import GRID, SheetRow, image_sheet
from ferrule.palette import CLASS_COLOURS

_COLUMNS = 12  # images a class


def suspect_sheet(images: np.ndarray, table: pd.DataFrame, classes: tuple[str, ...]) -> Figure:
    """Show for each label the images of which it is suspected most; frames have the colour of the class suggested.

    `images` is uint8 (n, 48, 48), row by row with `table`: what is suspected, in order, with `label`, `suggested` and
    `label_quality`.
    """
    rows = []
    for name in classes:
        found = np.flatnonzero(table["label"] == name)
        shown = table.iloc[found[:_COLUMNS]]
        captions = [f"{each.suggested}\n{each.label_quality:.1%}" for each in shown.itertuples()]
        frames = [CLASS_COLOURS.get(suggested, GRID) for suggested in shown["suggested"]]
        if len(found):
            rows.append(SheetRow(images[found[:_COLUMNS]], f"{name}\n{len(found):,}", captions, frames))
    subtitle = (
        f"the {len(table):,} most suspect, by label; beneath: what networks see instead, how probable the label is"
    )
    return image_sheet(rows, "Labels that may be wrong", subtitle)
