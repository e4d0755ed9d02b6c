"""Explanation: which parts of a face speak for what it is taken for, and which against, as a map of heat.

Each part in turn is blurred away, and the map shows how much less (or more) likely that makes the class: occlusion
sensitivity (Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks"). The network's own account,
what each position of its last features adds to the class (Zhou et al. 2016), costs nothing but explains less: what is
deleted by it changes the answer later (docs/decisions.md).
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ferrule.annotation import bars_size, draw_bars
from ferrule.answers import Answer, percent
from ferrule.drawing import INK, MUTED, PAPER, fill, measure, write
from ferrule.errors import DataError

if TYPE_CHECKING:
    from ferrule.portable.model import PortableModel

FOR, AGAINST = (240, 110, 40), (40, 120, 230)  # RGB of what speaks for and against the class

GRID = 6  # parts of a side

_BLUR = 8.0  # pixels; what is left by it shows no expression
_SOFT = 5.0  # pixels; a hard edge would itself be seen as something
_LEAST = 1e-9
_COVER = 0.75  # of the face by the strongest colour
_SIDE, _TEXT, _GAP = 288, 18, 18  # pixels of a face, the text and the gaps of a card


def explain(model: "PortableModel", crop: np.ndarray, label: str | None = None) -> np.ndarray:
    """Return the map of a crop, uint8 (48, 48), for `label`, by default the class it is taken for.

    float32 (48, 48): 1 or -1 where it speaks most for or against the class, 0 where it says nothing. Raises DataError
    for a label that the model does not know. The model is asked about GRID² + 1 images.
    """
    import cv2

    heat = cv2.resize(measure_parts(model, crop, label), crop.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return heat / max(float(np.abs(heat).max()), _LEAST)


def measure_parts(model: "PortableModel", crop: np.ndarray, label: str | None = None) -> np.ndarray:
    """Return by how much blurring each part of a crop lowers the log odds of the class, float32 (GRID, GRID)."""
    probabilities = model.probabilities(np.concatenate([crop[np.newaxis], _blur_parts(crop)]))
    chosen = int(probabilities[0].argmax()) if label is None else _find_class(model, label)
    share = probabilities[:, chosen].clip(_LEAST, 1 - _LEAST)
    odds = np.log(share / (1 - share))
    return (odds[0] - odds[1:]).reshape(GRID, GRID).astype(np.float32)


def overlay(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (h, w) or (h, w, 3) RGB, with a map of any size over it: warm for, cold against."""
    import cv2

    ground = np.repeat(picture[..., np.newaxis], 3, axis=2) if picture.ndim == 2 else picture
    smooth = cv2.resize(heat, ground.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., np.newaxis].clip(-1, 1)
    colour = np.where(smooth > 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
    cover = _COVER * np.abs(smooth)
    return np.rint(ground * (1 - cover) + colour * cover).astype(np.uint8)


def draw_explanations(crops: np.ndarray, answers: Sequence[Answer], maps: Sequence[np.ndarray]) -> np.ndarray:
    """Return a picture to show, uint8 (h, w, 3): of each crop (48, 48) the face, the map over it, and the bars."""
    cards = [_draw_card(*each) for each in zip(crops, answers, maps, strict=True)]
    return np.concatenate([*cards, _draw_key(cards[0].shape[1])])


def _blur_parts(crop: np.ndarray) -> np.ndarray:
    """Return the crop with each of its parts blurred, uint8 (GRID², 48, 48)."""
    import cv2

    blurred = cv2.GaussianBlur(crop, (0, 0), _BLUR).astype(np.float32)
    windows = _cut_windows(crop.shape[0])
    return np.rint(crop * (1 - windows) + blurred * windows).astype(np.uint8)


@cache
def _cut_windows(side: int) -> np.ndarray:
    """Return where each part is, float32 (GRID², side, side): 1 at its middle, and softly nothing around it."""
    import cv2

    parts = np.eye(GRID**2, dtype=np.float32).reshape(-1, GRID, GRID)
    whole = side // GRID
    soft = [cv2.GaussianBlur(np.kron(part, np.ones((whole, whole), np.float32)), (0, 0), _SOFT) for part in parts]
    return np.stack([window / window.max() for window in soft])


def _find_class(model: "PortableModel", label: str) -> int:
    if label not in model.classes:
        raise DataError(f"Expected a class among {', '.join(model.classes)}; got {label!r}; name one of them.")
    return model.classes.index(label)


def _draw_card(crop: np.ndarray, answer: Answer, heat: np.ndarray) -> np.ndarray:
    import cv2

    face = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    width, height = bars_size(_TEXT, answer)
    card = np.full((_SIDE + _GAP, 2 * _SIDE + width + 4 * _GAP, 3), INK, np.uint8)
    for left, picture in ((_GAP, overlay(face, np.zeros_like(heat))), (2 * _GAP + _SIDE, overlay(face, heat))):
        card[_GAP:, left : left + _SIDE] = picture
    left = 3 * _GAP + 2 * _SIDE
    said = answer.label if answer.label == answer.best else f"{answer.label}: {answer.best}?"
    write(card, f"{said} {percent(answer.confidence or 0)}", (left + _TEXT // 2, _GAP + _TEXT), 26, 600, PAPER)
    draw_bars(card, (left, _SIDE + _GAP - height, width, height), _TEXT, answer)
    return card


def _draw_key(width: int) -> np.ndarray:
    """Return the line that tells what the colours mean."""
    key = np.full((2 * _GAP + _TEXT, width, 3), INK, np.uint8)
    middle, left = len(key) // 2, 2 * _GAP + _SIDE
    for colour, text in ((FOR, "speaks for it"), (AGAINST, "speaks against it")):
        fill(key, (left, middle - _TEXT // 2, _TEXT, _TEXT), colour, 1.0, 3)
        write(key, text, (left + round(1.5 * _TEXT), middle), _TEXT, 400, MUTED)
        left += measure(text, _TEXT, 400) + 3 * _TEXT
    return key
