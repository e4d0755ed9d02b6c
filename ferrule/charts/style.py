"""The house style of every picture: palette, type, a titled figure, a contact sheet of faces, and one way to save."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import matplotlib.style
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from ferrule.samples import IMAGE_SIZE

INK = "#1B1F24"  # titles and values
MUTED = "#5B6570"  # subtitles, axis labels, captions
GRID = "#E3E7EB"
PAPER = "#FFFFFF"
ACCENT = "#0B5C8A"  # where a chart has one series
WARNING = "#C1440E"  # what the reader should worry about
# For splits and usages, and any series without an order of its own: dark, middle, light.
SERIES_COLOURS = (ACCENT, "#E69F00", "#8FA3B0", "#CC79A7")

# For one quantity from nothing to much: confusion matrices, densities.
SEQUENTIAL = LinearSegmentedColormap.from_list("ferrule", [PAPER, "#CFE3EF", "#6FA8C9", ACCENT, "#062F47"])

DPI = 144
_FONT = "DejaVu Sans"  # comes with matplotlib, so every machine draws the same letters
_TITLE = FontProperties(family=_FONT, size=14, weight="bold")
_SUBTITLE = FontProperties(family=_FONT, size=10)
_ROW_TITLE = FontProperties(family=_FONT, size=10, weight="bold")
_CAPTION = FontProperties(family=_FONT, size=7.5)
_MARGIN = 0.14  # inches between the figure's edge and its header

_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": DPI,
    "figure.facecolor": PAPER,
    "font.family": _FONT,
    "font.size": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
    "savefig.dpi": "figure",
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a file name is a "$"
    "xtick.color": MUTED,
    "xtick.labelsize": 9.5,
    "xtick.major.size": 0,
    "ytick.color": MUTED,
    "ytick.labelsize": 9.5,
    "ytick.major.size": 0,
}


@contextmanager
def new_figure(
    title: str, subtitle: str = "", *, width: float = 8.0, height: float = 4.5, **grid: Any
) -> Iterator[tuple[Figure, Any]]:
    """Give a titled figure of `width` x `height` inches and its axes; what is drawn inside the block is in house style.

    `grid` goes to `Figure.subplots` (nrows, ncols, sharey, width_ratios…); without it there is one Axes. The title
    says what the chart shows, the subtitle what it is drawn from. Use as
    `with new_figure("Labels", "28,709 images") as (figure, axes): axes.bar(…)`, then return the figure.
    """
    with _house_style():
        figure = Figure(figsize=(width, height))
        header = _draw_header(figure, title, subtitle)
        figure.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 1 - header / height - 0.01), w_pad=0.1)
        yield figure, figure.subplots(**grid)


def save_figure(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG; the same figure gives the same bytes (no date, no version of the software)."""
    with _house_style():
        figure.savefig(path, format="png", metadata={"Software": None})


@dataclass(frozen=True)
class SheetRow:
    """A row of a contact sheet.

    `images` is uint8 (k, 48, 48); `title` stands to their left. `captions` (one an image, of any number of lines) stand
    beneath the images; `frames` are the colours of their frames, None for an image without one.
    """

    images: np.ndarray
    title: str = ""
    captions: Sequence[str] = ()
    frames: Sequence[str | None] = ()


def image_sheet(
    rows: Sequence[SheetRow], title: str, subtitle: str = "", *, zoom: int = 2, together: int = 1
) -> Figure:
    """Return a contact sheet: the rows' images in columns, each enlarged `zoom` times.

    Where images belong together, in twos or threes (`together`), a wider gap follows each two or three.
    """
    layout = _SheetLayout(rows, zoom, together)
    width = max(layout.width / DPI, _text_inches(title, _TITLE), _text_inches(subtitle, _SUBTITLE))
    with _house_style():
        figure = Figure(figsize=(width, layout.height / DPI + _header_inches(subtitle)))
        _draw_header(figure, title, subtitle)
        figure.figimage(_paste_images(rows, layout), 0, 0)
        _write_captions(figure, rows, layout)
    return figure


@contextmanager
def _house_style() -> Iterator[None]:
    """Draw in the house style whatever the user's matplotlibrc says, and leave matplotlib as it was."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def _draw_header(figure: Figure, title: str, subtitle: str) -> float:
    """Write title and subtitle in the upper left corner; return the height they take, in inches."""
    width, height = figure.get_size_inches()
    place: dict[str, Any] = {"x": _MARGIN / width, "ha": "left", "va": "top"}
    figure.text(y=1 - _MARGIN / height, s=title, fontproperties=_TITLE, color=INK, **place)
    figure.text(y=1 - (_MARGIN + 0.30) / height, s=subtitle, fontproperties=_SUBTITLE, color=MUTED, **place)
    return _header_inches(subtitle)


def _header_inches(subtitle: str) -> float:
    """Return the height of a header, with or without its second line."""
    return 0.75 if subtitle else 0.50


def _text_inches(text: str, font: FontProperties) -> float:
    """Return the width of a text of any number of lines, with a margin on both sides."""
    lines = [TextPath((0, 0), line, prop=font, usetex=False).get_extents().width for line in text.split("\n") if line]
    return 2 * _MARGIN + max(lines, default=0.0) / 72


class _SheetLayout:
    """Where things stand on a sheet, in pixels from its upper left corner."""

    frame = 4  # around an image
    gap = 14  # between images
    line = 18  # height of a caption's line

    def __init__(self, rows: Sequence[SheetRow], zoom: int, together: int) -> None:
        self.side = zoom * IMAGE_SIZE
        self.together = together
        titles = "\n".join(row.title for row in rows).strip()
        self.left = round(DPI * (_text_inches(titles, _ROW_TITLE) if titles else _MARGIN))
        columns = max((len(row.images) for row in rows), default=0)
        self.width = self._column_left(max(columns - 1, 0)) + self.side + round(DPI * _MARGIN)
        heights = [self.side + self.gap + self.line * _caption_lines(row) for row in rows]
        self.tops = [self.frame + sum(heights[:number]) for number in range(len(rows))]
        self.height = self.frame + sum(heights) + self.gap

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Return the (x, y) of an image's upper left corner."""
        return self._column_left(column), self.tops[row]

    def _column_left(self, column: int) -> int:
        """Return the x of a column's left edge."""
        wide = column // self.together if self.together > 1 else 0
        return self.left + column * (self.side + self.gap) + wide * 2 * self.gap


def _caption_lines(row: SheetRow) -> int:
    """Return the number of lines of the longest caption."""
    return max((len(caption.split("\n")) for caption in row.captions if caption), default=0)


def _paste_images(rows: Sequence[SheetRow], layout: _SheetLayout) -> np.ndarray:
    """Return the sheet's pixels, uint8 (height, width, 3): frames and enlarged images on white."""
    sheet = np.full((layout.height, layout.width, 3), 255, np.uint8)
    side, edge = layout.side, layout.frame
    for number, row in enumerate(rows):
        for column, (image, frame) in enumerate(zip_longest(row.images, row.frames)):
            x, y = layout.corner(number, column)
            if frame:
                sheet[y - edge : y + side + edge, x - edge : x + side + edge] = np.round(255 * np.array(to_rgb(frame)))
            large = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
            sheet[y : y + side, x : x + side] = large[:, :, None]
    return sheet


def _write_captions(figure: Figure, rows: Sequence[SheetRow], layout: _SheetLayout) -> None:
    """Write the rows' titles and the images' captions."""
    width, height = figure.get_size_inches() * DPI
    style: dict[str, Any] = {"fontproperties": _CAPTION, "color": MUTED, "va": "baseline", "ha": "center"}
    for number, row in enumerate(rows):
        y = layout.height - layout.tops[number] - layout.side / 2
        figure.text(_MARGIN * DPI / width, y / height, row.title, fontproperties=_ROW_TITLE, va="center")
        for column, caption in enumerate(row.captions):
            left, top = layout.corner(number, column)
            x, y = left + layout.side / 2, layout.height - top - layout.side - layout.frame
            for line, text in enumerate(caption.split("\n"), start=1):
                figure.text(x / width, (y - line * layout.line + 3) / height, text, **style)
