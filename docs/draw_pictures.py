"""Draw the picture of the embedded sample for the README: `python docs/draw_pictures.py`; it shows no dataset."""

from pathlib import Path

import numpy as np

from ferrule.charts.style import SheetRow, image_sheet, save_figure
from ferrule.emotions import EMOTIONS
from ferrule.synthetic import paint_portraits

PEOPLE = 12
SEED = 5

if __name__ == "__main__":
    faces = [paint_portraits(np.full(PEOPLE, number), SEED) for number in range(len(EMOTIONS))]
    rows = [SheetRow(images, name) for images, name in zip(faces, EMOTIONS, strict=True)]
    sheet = image_sheet(
        rows, "The embedded sample: drawn, not photographed", "the same twelve people, seven expressions"
    )
    save_figure(sheet, Path(__file__).parent / "pictures" / "sample.png")
