"""Brows and eyes. Both sides are painted at once, from the distance |u| to the middle of the face."""

import numpy as np

from ferrule.synthetic.expressions import ActionUnits
from ferrule.synthetic.head import Head
from ferrule.synthetic.people import Person, Scene
from ferrule.synthetic.shapes import cover, ellipse, over, ridge

EYE_LEVEL = -0.08  # just above the middle of the head


def paint_brows(skin: np.ndarray, head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Paint the brows: 1 lifts their inner ends, 2 the outer ones, 4 draws them down and together."""
    out = np.abs(head.u)
    start = 0.17 - 0.07 * units[4] - 0.02 * units[9]
    end = person.eye_gap + 0.27 + 0.02 * units[2]
    t = np.clip((out - start) / (end - start), 0.0, 1.0)
    inner = 0.01 - person.brow_height - 0.16 * units[1] + 0.13 * units[4] + 0.06 * units[9]
    outer = 0.05 - person.brow_height - 0.17 * units[2] + 0.02 * units[4] + 0.02 * units[6]
    arch = 0.05 + 0.03 * units[2] - 0.03 * units[4]
    level = inner + (outer - inner) * t - 4.0 * arch * t * (1.0 - t)
    thickness = person.brow_weight * (1.1 - 0.7 * t)
    distance = np.maximum(np.abs(head.v - level) - thickness, np.maximum(start - out, out - end))
    tone = np.minimum(person.hair, 0.35 * person.skin + 0.1)
    return over(skin, tone, 0.92 * cover(distance, 1.6 * head.pixel))


def paint_eyes(skin: np.ndarray, head: Head, person: Person, scene: Scene, units: ActionUnits) -> np.ndarray:
    """Paint the eyes: 5 lifts the upper lids, 6 and 7 the lower ones, 43 closes them."""
    across = np.abs(head.u) - person.eye_gap
    half = 0.205 * person.eye_size
    top, bottom = _lids(np.clip(across / half, -1.3, 1.3), person, units)
    slit = np.maximum(np.maximum(top - head.v, head.v - bottom), np.abs(across) - half)
    opened = cover(slit, 1.2 * head.pixel)
    shade = 0.3 * cover(head.v - top - 0.05, 0.1)
    skin = over(skin, 0.5 + 0.42 * person.skin - shade, opened)
    skin = _paint_iris(skin, head, person, scene, opened)
    beside = cover(np.abs(across) - half - 0.02, 0.08)
    lashes = ridge(head.v - top, 0.05 + 0.5 * head.pixel) * beside
    crease = ridge(head.v - top + 0.07 + 0.03 * units[5], 0.05) * beside
    skin = over(skin, 0.06 + 0.08 * person.hair, 0.85 * lashes)
    skin = over(skin, 0.5 * person.skin, 0.45 * ridge(head.v - bottom, 0.045) * beside)
    return over(skin, 0.55 * person.skin, 0.45 * crease)


def _lids(s: np.ndarray, person: Person, units: ActionUnits) -> tuple[np.ndarray, np.ndarray]:
    """Return how high the upper and the lower lid lie, at `s` from the inner (-1) to the outer (1) corner of an eye."""
    curve = 1.0 - s * s
    wide = np.clip(1.0 - units[43], 0.06, 1.0)
    grief = np.minimum(units[1], 1.2) * np.minimum(units[4] + 0.2, 1.0)  # lifts the inner end of the upper lid
    upper = 0.115 + 0.09 * units[5] - 0.03 * units[7] - 0.025 * units[6] - 0.02 * units[4] - 0.02 * units[9]
    lower = 0.065 + 0.02 * units[5] - 0.035 * units[7] - 0.05 * units[6] - 0.03 * units[9]
    level = EYE_LEVEL + person.eye_tilt * s + 0.07 * (1.0 - wide)
    top = level - np.maximum(upper * wide, 0.012) * person.eye_size * curve * (1.0 - 0.3 * grief * s)
    return top, level + np.maximum(lower * wide, 0.006) * person.eye_size * curve


def _paint_iris(skin: np.ndarray, head: Head, person: Person, scene: Scene, opened: np.ndarray) -> np.ndarray:
    side = np.sign(head.u)
    x = head.u - side * person.eye_gap - 0.1 * scene.gaze_x  # both eyes look the same way
    y = head.v - EYE_LEVEL + 0.025 - 0.03 * scene.gaze_y
    radius = 0.105 * person.eye_size
    skin = over(skin, person.iris, opened * cover(ellipse(x, y, radius, radius), 1.2 * head.pixel))
    skin = over(skin, 0.02, opened * cover(ellipse(x, y, 0.045, 0.045), 1.2 * head.pixel))
    glint = cover(ellipse(x - 0.035, y + 0.04, 0.028, 0.028), 1.2 * head.pixel)
    return over(skin, 1.1, 0.8 * opened * glint)
