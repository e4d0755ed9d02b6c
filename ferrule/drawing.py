"""Drawing into pictures, uint8 (h, w, 3) RGB: rounded grounds, and text in OpenCV's own TrueType font (Rubik)."""

from functools import cache, lru_cache
from typing import Any

import numpy as np

from ferrule.palette import CLASS_COLOURS

Box = tuple[int, int, int, int]  # x, y, width, height
Colour = tuple[int, int, int]  # RGB

INK, PAPER, MUTED, QUIET = (22, 26, 31), (255, 255, 255), (190, 198, 206), (74, 82, 92)
GREY = (143, 163, 176)  # of what is no class


def colour_of(label: str) -> Colour:
    """Return the colour of a class, RGB; what is no class is grey."""
    code = CLASS_COLOURS.get(label)
    return GREY if code is None else (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16))


def brighten(colour: Colour) -> Colour:
    """Return a colour that shows on dark ground: the dark grey of neutral would not."""
    return GREY if max(colour) < 100 else colour


def fill(canvas: np.ndarray, box: Box, colour: Colour, share: float, radius: int) -> None:
    """Cover a part of the canvas by `share` with a colour, its corners rounded; what lies outside is left away."""
    import cv2

    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = min(box[0] + box[2], canvas.shape[1]), min(box[1] + box[3], canvas.shape[0])
    if right <= left or bottom <= top:
        return
    part = canvas[top:bottom, left:right]
    mask = np.zeros(part.shape[:2], np.uint8)
    radius = min(radius, (right - left - 1) // 2, (bottom - top - 1) // 2)
    edges = right - left - 1 - radius, bottom - top - 1 - radius
    if radius > 0:
        for corner in ((radius, radius), (edges[0], radius), (radius, edges[1]), edges):
            cv2.circle(mask, corner, radius, 255, -1, cv2.LINE_AA)
        mask[radius : edges[1] + 1] = 255
        mask[:, radius : edges[0] + 1] = 255
    else:
        mask[:] = 255
    weight = (share / 255) * mask[..., np.newaxis].astype(np.float32)
    part[:] = np.rint(part * (1 - weight) + np.array(colour, np.float32) * weight)


def write(canvas: np.ndarray, text: str, place: tuple[int, int], size: int, weight: int, colour: Colour) -> None:
    """Write text that begins at `place`, whose y is the middle of its small letters."""
    import cv2

    cv2.putText(canvas, text, (place[0], place[1] + round(0.33 * size)), colour, _font(), size, weight)


@lru_cache(1024)
def measure(text: str, size: int, weight: int) -> int:
    """Return the width of a text."""
    import cv2

    return int(cv2.getTextSize((0, 0), text, (0, 0), _font(), size, weight)[2])


@cache
def _font() -> Any:
    import cv2

    return cv2.FontFace("sans")
