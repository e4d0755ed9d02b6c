"""Parents and the images that were generated from them, class by class."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ferrule.charts.style import ACCENT, SheetRow, image_sheet

_COLUMNS = 12  # images a class
_SIBLINGS = 3  # children shown of one parent


def family_sheet(images: np.ndarray, table: pd.DataFrame, classes: tuple[str, ...]) -> Figure:
    """Return a sheet with a row a class: a parent in a frame, up to three of its children, the next parent, and so on.

    `images`, uint8 (n, 48, 48), and `table`, with `sample_id`, `parent_id` and `label`, hold originals and children
    row by row. The parents shown are taken evenly from all of the class.
    """
    rows = pd.Series(np.arange(len(table)), index=table["sample_id"])
    children = table[table["sample_id"] != table["parent_id"]]
    families = rows[children["sample_id"]].groupby(
        [children["label"].to_numpy(), rows[children["parent_id"]].to_numpy()]
    )
    members = families.agg(list)
    present = [name for name in classes if name in members.index]
    subtitle = "in a frame: a training image; after it: images generated from it"
    return image_sheet([_sheet_row(images, name, members[name]) for name in present], "Parents and children", subtitle)


def _sheet_row(images: np.ndarray, name: str, families: pd.Series) -> SheetRow:
    """Return the row of one class; `families` maps a parent's row to the rows of its children."""
    wanted = min(len(families), _COLUMNS // 2)
    shown: list[int] = []
    frames: list[str | None] = []
    for position in np.linspace(0, len(families) - 1, wanted).astype(int):
        children = families.iloc[position][:_SIBLINGS]
        shown += [int(families.index[position]), *children]
        frames += [ACCENT, *[None] * len(children)]
    return SheetRow(images[shown[:_COLUMNS]], title=name, frames=frames[:_COLUMNS])
