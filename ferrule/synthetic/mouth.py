"""The lower face: nose, beard and mouth."""

from dataclasses import dataclass

import numpy as np

from ferrule.synthetic.expressions import ActionUnits
from ferrule.synthetic.head import Head
from ferrule.synthetic.people import Person, Scene
from ferrule.synthetic.shapes import bump, cover, ellipse, over, ridge


@dataclass(frozen=True)
class _Mouth:
    """Where a mouth lies: heights (n, 48, 48) in head units, along the mouth from its left corner to its right one."""

    v: np.ndarray
    half: np.ndarray  # half of its width, a column
    corners: np.ndarray  # height of its corners, a column
    curve: np.ndarray  # 1 in the middle, 0 at the corners
    top: np.ndarray  # where the upper lip ends
    bottom: np.ndarray  # where the lower lip begins
    upper: np.ndarray  # thickness of the upper lip
    lower: np.ndarray
    beyond: np.ndarray  # distance outside the corners, negative between them
    parted: np.ndarray  # 0..1, a column


def paint_nose(skin: np.ndarray, head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Paint nostrils, wings and the shadow below; 9 pulls them up."""
    out = np.abs(head.u)
    below = head.v - person.nose_length - 0.1 + 0.05 * units[9] + 0.02 * units[10]
    skin = over(skin, 0.18 * person.skin, 0.9 * bump(out - 0.55 * person.nose_width, below, 0.085, 0.06))
    wing = ridge(ellipse(out - person.nose_width, below + 0.07, 0.075, 0.09), 0.05)
    skin = over(skin, 0.55 * person.skin, 0.4 * wing * cover(person.nose_width - out, 0.05))
    return over(skin, 0.6 * person.skin, 0.4 * bump(head.u, below - 0.06, person.nose_width + 0.08, 0.1))


def paint_beard(skin: np.ndarray, head: Head, person: Person, units: ActionUnits, noise: np.ndarray) -> np.ndarray:
    """Paint beard and moustache, over which the mouth is painted later; `noise` (n, 48, 48) makes them rough."""
    out = np.abs(head.u)
    tone = np.clip(0.9 * person.hair + 0.03 * noise, 0.0, 1.0)
    edge = np.maximum(0.84 - 0.95 * out * out - head.v, head.edge - 0.02)
    skin = over(skin, tone, cover(edge, 0.32) * person.beard)
    level = person.mouth_height - 0.1 + 0.02 * units[12] - 0.03 * units[10] + (0.35 * out - 0.1 * units[12]) * out
    strip = np.maximum(np.abs(head.v - level) - 0.055, out - person.mouth_width - 0.03)
    return over(skin, tone, cover(strip, 0.1) * person.moustache)


def paint_mouth(skin: np.ndarray, head: Head, person: Person, scene: Scene, units: ActionUnits) -> np.ndarray:
    """Paint the mouth: 12 lifts its corners, 15 lowers them, 20 stretches it, 25 parts the lips, 26 drops the jaw."""
    mouth = _shape_mouth(head, person, scene, units)
    skin = _paint_lips(skin, head, person, mouth)
    skin = _paint_opening(skin, head, person, units, mouth)
    dimples = bump(np.abs(head.u) - mouth.half - 0.03, mouth.v - mouth.corners, 0.07, 0.08)
    skin = over(skin, 0.55 * person.skin, dimples * np.clip(0.08 + 0.4 * units[12] + 0.45 * units[15], 0.0, 0.7))
    hollow = bump(head.u, mouth.v - mouth.bottom - mouth.lower - 0.06, 0.55 * mouth.half, 0.06)
    return over(skin, 0.7 * person.skin, hollow * (0.35 + 0.3 * units[17]))


def _shape_mouth(head: Head, person: Person, scene: Scene, units: ActionUnits) -> _Mouth:
    v = head.v - scene.skew * head.u * (units[12] + units[15] + units[10] + 0.3)
    half = _half_width(person, units)
    s = np.clip(head.u / half, -1.25, 1.25)
    curve = np.maximum(0.0, 1.0 - s * s)
    lift = person.smile + 0.17 * (units[12] - units[15]) - 0.05 * (units[20] + units[17]) - 0.03 * units[10]
    middle = person.mouth_height + 0.06 * units[12] - 0.05 * (units[17] + units[10] + units[15])
    line = middle - lift * s * s
    parted = np.minimum(1.0, units[25])
    rise = 0.012 + parted * (0.02 + 0.07 * units[10] + 0.06 * units[12] + 0.02 * units[20])
    drop = 0.012 + parted * (0.03 + 0.11 * units[12] + 0.07 * units[16] + 0.08 * units[20] + 0.34 * units[26])
    press = 1.0 - 0.6 * np.minimum(1.0, units[24] + 0.2 * units[12])
    bow = 1.0 + 0.5 * s * s - 0.12 * ridge(s, 0.25)
    return _Mouth(
        v=v,
        half=half,
        corners=middle - lift,
        curve=curve,
        top=line - rise * curve,
        bottom=line + drop * np.sqrt(curve) * (0.6 + 0.4 * curve),
        upper=(0.01 + 0.055 * person.lips * press) * curve * bow,
        lower=(0.01 + 0.085 * person.lips * press - 0.02 * units[17]) * curve,
        beyond=np.abs(head.u) - half,
        parted=parted,
    )


def _half_width(person: Person, units: ActionUnits) -> np.ndarray:
    rounded = 0.22 * units[26] * (1.0 - 0.8 * np.minimum(1.0, units[12] + units[20]))
    stretched = 0.36 * units[12] + 0.3 * units[20] + 0.05 * units[15]
    return person.mouth_width * (1.0 + stretched - rounded - 0.1 * units[17] - 0.06 * units[24])


def _paint_lips(skin: np.ndarray, head: Head, person: Person, mouth: _Mouth) -> np.ndarray:
    above, below = mouth.top - mouth.upper - mouth.v, mouth.v - mouth.bottom - mouth.lower
    gloss = 1.0 + 0.18 * ridge(below + 0.5 * mouth.lower, 0.05) - 0.18 * cover(mouth.v - mouth.top, 0.04)
    tone = person.skin * (0.72 - 0.42 * person.lipstick) * gloss
    return over(skin, tone, 0.85 * cover(np.maximum(np.maximum(above, below), mouth.beyond), 1.5 * head.pixel))


def _paint_opening(skin: np.ndarray, head: Head, person: Person, units: ActionUnits, mouth: _Mouth) -> np.ndarray:
    """Paint what shows between the lips: the dark, teeth (12, 10 and 20 bare the upper, 16 the lower), tongue."""
    from_top, from_bottom = mouth.v - mouth.top, mouth.bottom - mouth.v
    opened = cover(np.maximum(np.maximum(-from_top, -from_bottom), mouth.beyond), 1.3 * head.pixel)
    skin = over(skin, 0.1 * person.skin + 0.03, opened * (0.75 + 0.25 * mouth.parted))
    arc = np.sqrt(mouth.curve)
    upper = np.maximum(np.maximum(0.012 - from_top, from_top - 0.17 * arc), mouth.beyond + 0.12 * mouth.half)
    bared = np.clip(0.15 + units[12] + units[10] + 0.6 * units[20], 0.0, 1.0) * mouth.parted
    skin = over(skin, 0.62 + 0.3 * person.skin, opened * bared * cover(upper, 1.4 * head.pixel))
    lower = np.maximum(np.maximum(0.012 - from_bottom, from_bottom - 0.075 * arc), mouth.beyond + 0.25 * mouth.half)
    bared = np.clip(units[16] + 0.3 * units[20] - 0.15, 0.0, 1.0) * mouth.parted
    skin = over(skin, 0.6 + 0.25 * person.skin, opened * bared * cover(lower, 1.4 * head.pixel))
    tongue = bump(head.u, from_bottom - 0.02, 0.6 * mouth.half, 0.16) * np.clip(1.6 * units[26] - 0.3, 0.0, 1.0)
    return over(skin, 0.42 * person.skin, 0.6 * opened * tongue)
