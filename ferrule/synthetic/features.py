"""The features of a face, moved by its action units: its relief, then brows, eyes, nose, mouth, beard and wrinkles.

Positions lie on the face (`Head.u`, `Head.v`); both halves are drawn at once, by the distance |u| from the middle.
"""

import numpy as np

from ferrule.synthetic.expressions import ActionUnits
from ferrule.synthetic.head import Head
from ferrule.synthetic.people import Person, Scene
from ferrule.synthetic.shapes import bump, cover, ellipse, over, ridge, segment

EYE_LEVEL = -0.08


def model_relief(head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Return how far the face stands out (n, 48, 48), in head units: nose, sockets, cheeks, lips, chin and folds."""
    u, v, out = head.u, head.v, np.abs(head.u)
    tip = person.nose_length
    along = np.clip((v + 0.15) / (tip + 0.15), 0.0, 1.0)
    relief = 0.2 * ridge(u, 0.1 + 0.12 * along) * along * cover(v - tip - 0.06, 0.16)
    relief = relief + 0.1 * bump(u, v - tip, 0.17, 0.15) + 0.05 * bump(out - person.nose_width, v - tip - 0.02, 0.1, 0.1)
    relief = relief - 0.13 * bump(out - person.eye_gap, v - EYE_LEVEL, 0.34, 0.22)
    relief = relief + 0.05 * bump(out - 0.4, v + person.brow_height + 0.02, 0.4, 0.14)
    cheek = 0.3 - 0.1 * units[6] - 0.04 * units[12]
    relief = relief + (0.05 + 0.07 * units[6] + 0.05 * units[12]) * bump(out - 0.52, v - cheek, 0.34, 0.28)
    relief = relief + 0.07 * bump(u, v - person.mouth_height, 0.42, 0.26)
    chin = person.chin - 0.2 + 0.14 * units[26]
    relief = relief + (0.06 + 0.05 * units[17]) * bump(u, v - chin, 0.3, 0.2)
    return relief - _furrows(head, person, units)


def _furrows(head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Return the depth of the folds that the action units press into the skin, and of those that age has left."""
    u, v, out = head.u, head.v, np.abs(head.u)
    corner = (person.mouth_width + 0.14 + 0.08 * units[12], person.mouth_height - 0.02)
    wing = (person.nose_width + 0.05, person.nose_length - 0.06 * units[9])
    bow = 0.06 * ridge(v - (wing[1] + corner[1]) / 2.0, 0.25)
    nasolabial = ridge(segment(out - bow, v, wing, corner), 0.11)
    depth = 0.006 + 0.022 * person.age + 0.03 * units[12] + 0.035 * units[10] + 0.03 * units[9] + 0.012 * units[20]
    depth = depth * nasolabial
    brow = person.brow_height
    frown = ridge(out - 0.07, 0.06) * bump(u, v + brow - 0.04, 0.5, 0.22)
    depth = depth + (0.01 * person.age + 0.05 * units[4]) * frown
    lines = ridge(v + brow + 0.2, 0.06) + ridge(v + brow + 0.36, 0.06)
    raised = np.maximum(units[1], units[2]) - 0.6 * units[4]
    depth = depth + (0.012 * person.age + 0.022 * np.maximum(0.0, raised)) * lines * cover(out - 0.5, 0.4)
    bridge = ridge(v + 0.14, 0.05) + ridge(v + 0.03, 0.05)
    depth = depth + 0.07 * units[9] * bridge * cover(out - 0.15, 0.15)
    foot = person.eye_gap + 0.24
    feet = ridge(segment(out, v, (foot, EYE_LEVEL - 0.04), (foot + 0.17, EYE_LEVEL - 0.13)), 0.05)
    feet = feet + ridge(segment(out, v, (foot, EYE_LEVEL + 0.04), (foot + 0.17, EYE_LEVEL + 0.1)), 0.05)
    depth = depth + (0.01 * person.age + 0.035 * units[6]) * feet
    pouch = ridge(v - EYE_LEVEL - 0.17 + 1.2 * (out - person.eye_gap) * (out - person.eye_gap), 0.06)
    return depth + (0.012 + 0.02 * person.age + 0.02 * units[6]) * pouch * cover(np.abs(out - person.eye_gap) - 0.2, 0.2)


def paint_brows(skin: np.ndarray, head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Paint the brows: 1 lifts their inner ends, 2 the outer ones, 4 draws them down and together."""
    out = np.abs(head.u)
    start = 0.17 - 0.07 * units[4] - 0.02 * units[9]
    end = person.eye_gap + 0.27 + 0.02 * units[2]
    t = np.clip((out - start) / (end - start), 0.0, 1.0)
    inner = -person.brow_height + 0.01 - 0.16 * units[1] + 0.13 * units[4] + 0.06 * units[9]
    outer = -person.brow_height + 0.05 - 0.17 * units[2] + 0.02 * units[4] + 0.02 * units[6]
    arch = 0.05 + 0.03 * units[2] - 0.03 * units[4]
    level = inner + (outer - inner) * t - 4.0 * arch * t * (1.0 - t)
    thick = person.brow_weight * (1.1 - 0.7 * t)
    distance = np.maximum(np.abs(head.v - level) - thick, np.maximum(start - out, out - end))
    tone = np.minimum(person.hair, 0.35 * person.skin + 0.1)
    return over(skin, tone, cover(distance, 1.6 * head.pixel) * 0.92)


def paint_eyes(skin: np.ndarray, head: Head, person: Person, scene: Scene, units: ActionUnits) -> np.ndarray:
    """Paint the eyes: 5 opens the upper lids, 6 and 7 raise the lower ones, 43 closes them."""
    out = np.abs(head.u) - person.eye_gap
    half = 0.205 * person.eye_size
    s = np.clip(out / half, -1.3, 1.3)
    curve = 1.0 - s * s
    shut = np.clip(1.0 - units[43], 0.06, 1.0)
    grief = np.minimum(units[1], 1.2) * np.minimum(units[4] + 0.2, 1.0)
    rise = 0.115 + 0.075 * units[5] - 0.03 * units[7] - 0.025 * units[6] - 0.02 * units[4] - 0.02 * units[9]
    fall = 0.065 + 0.015 * units[5] - 0.035 * units[7] - 0.05 * units[6] - 0.03 * units[9]
    level = EYE_LEVEL + person.eye_tilt * s + 0.07 * (1.0 - shut)
    top = level - np.maximum(rise * shut, 0.012) * person.eye_size * curve * (1.0 - 0.3 * grief * s)
    bottom = level + np.maximum(fall * shut, 0.006) * person.eye_size * curve
    pixel = head.pixel
    inside = np.maximum(np.maximum(top - head.v, head.v - bottom), np.abs(out) - half)
    opened = cover(inside, 1.2 * pixel)
    white = 0.5 + 0.42 * person.skin - 0.3 * cover(head.v - top - 0.05, 0.1)
    ball = over(skin, white, opened)
    look = np.sign(head.u) * (scene.gaze_x * 0.1)
    gaze_y = EYE_LEVEL - 0.025 + 0.03 * scene.gaze_y
    iris = ellipse(out - look, head.v - gaze_y, 0.105 * person.eye_size, 0.105 * person.eye_size)
    ball = over(ball, person.iris, cover(iris, 1.2 * pixel) * opened)
    pupil = ellipse(out - look, head.v - gaze_y, 0.045, 0.045)
    ball = over(ball, 0.02, cover(pupil, 1.2 * pixel) * opened)
    spark = ellipse(head.u - np.sign(head.u) * (person.eye_gap + look) - 0.035, head.v - gaze_y + 0.04, 0.028, 0.028)
    ball = over(ball, 1.1, cover(spark, 1.2 * pixel) * opened * 0.8)
    within = cover(np.abs(out) - half - 0.02, 0.08)
    lash = ridge(head.v - top, 0.05 + 0.5 * pixel) * within
    ball = over(ball, 0.06 + 0.08 * person.hair, lash * 0.85)
    rim = ridge(head.v - bottom, 0.045) * within
    ball = over(ball, person.skin * 0.5, rim * 0.45)
    crease = ridge(head.v - top + 0.07 + 0.03 * units[5], 0.05) * within
    return over(ball, person.skin * 0.55, crease * 0.45)


def paint_nose(skin: np.ndarray, head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Paint the nostrils and the shadow under the nose; 9 pulls the wings up."""
    out, base = np.abs(head.u), person.nose_length + 0.1 - 0.05 * units[9] - 0.02 * units[10]
    nostril = bump(out - 0.55 * person.nose_width, head.v - base, 0.085, 0.06)
    skin = over(skin, 0.18 * person.skin, nostril * 0.9)
    wing = ridge(ellipse(out - person.nose_width, head.v - base + 0.07, 0.075, 0.09), 0.05)
    skin = over(skin, 0.55 * person.skin, wing * 0.4 * cover(person.nose_width - out, 0.05))
    under = bump(head.u, head.v - base - 0.06, person.nose_width + 0.08, 0.1)
    return over(skin, 0.6 * person.skin, under * 0.4)


def paint_mouth(skin: np.ndarray, head: Head, person: Person, scene: Scene, units: ActionUnits) -> np.ndarray:
    """Paint lips, teeth and the dark between them: 12 lifts the corners, 15 lowers them, 20 stretches, 25 and 26 open."""
    pixel = head.pixel
    v = head.v - scene.skew * head.u * (units[12] + units[15] + units[10] + 0.3)
    half = person.mouth_width * (
        1.0 + 0.36 * units[12] + 0.3 * units[20] + 0.05 * units[15] - 0.22 * units[26] * (1.0 - 0.8 * np.minimum(1.0, units[12] + units[20]))
        - 0.1 * units[17] - 0.06 * units[24]
    )
    s = np.clip(head.u / half, -1.25, 1.25)
    square = s * s
    curve = np.maximum(0.0, 1.0 - square)
    lift = person.smile + 0.17 * units[12] - 0.17 * units[15] - 0.05 * units[20] - 0.05 * units[17] - 0.03 * units[10]
    middle = person.mouth_height + 0.06 * units[12] - 0.05 * units[17] - 0.05 * units[10] - 0.05 * units[15]
    line = middle - lift * square
    parted = np.minimum(1.0, units[25])
    up = 0.012 + parted * (0.02 + 0.07 * units[10] + 0.06 * units[12] + 0.02 * units[20])
    low = 0.012 + parted * (0.03 + 0.11 * units[12] + 0.07 * units[16] + 0.05 * units[20] + 0.34 * units[26])
    top, bottom = line - up * curve, line + low * np.sqrt(curve) * (0.6 + 0.4 * curve)
    press = 1.0 - 0.6 * np.minimum(1.0, units[24] + 0.2 * units[12])
    upper = (0.055 * person.lips * press + 0.01) * curve * (1.0 + 0.5 * square - 0.12 * ridge(s, 0.25))
    lower = (0.085 * person.lips * press + 0.01 - 0.02 * units[17]) * curve
    sides = np.abs(head.u) - half
    lip = np.maximum(np.maximum(top - upper - v, v - bottom - lower), sides)
    tone = person.skin * (0.72 - 0.42 * person.lipstick)
    gloss = 1.0 + 0.18 * ridge(v - bottom - 0.5 * lower, 0.05) - 0.18 * cover(v - top, 0.04)
    skin = over(skin, tone * gloss, cover(lip, 1.5 * pixel) * 0.85)
    gap = np.maximum(np.maximum(top - v, v - bottom), sides)
    opened = cover(gap, 1.3 * pixel)
    skin = over(skin, 0.1 * person.skin + 0.03, opened * (0.75 + 0.25 * parted))
    shown = np.clip(units[12] + units[10] + 0.6 * units[20] + 0.15, 0.0, 1.0) * parted
    teeth = np.maximum(np.maximum(top + 0.012 - v, v - top - 0.17 * np.sqrt(curve)), np.abs(s) * half - 0.88 * half)
    teeth = np.maximum(teeth, v - bottom + 0.01)
    skin = over(skin, 0.62 + 0.3 * person.skin, cover(teeth, 1.4 * pixel) * shown * opened)
    floor = np.maximum(np.maximum(bottom - 0.075 * np.sqrt(curve) - v, v - bottom + 0.012), np.abs(s) * half - 0.75 * half)
    bared = np.clip(units[16] + 0.3 * units[20] - 0.15, 0.0, 1.0) * parted
    skin = over(skin, 0.6 + 0.25 * person.skin, cover(floor, 1.4 * pixel) * bared * opened)
    tongue = bump(head.u, v - bottom + 0.02, 0.6 * half, 0.16)
    skin = over(skin, 0.42 * person.skin, tongue * opened * 0.6 * np.clip(1.6 * units[26] - 0.3, 0.0, 1.0))
    dimple = bump(np.abs(head.u) - half - 0.03, v - middle + lift, 0.07, 0.08)
    skin = over(skin, 0.55 * person.skin, dimple * np.clip(0.08 + 0.4 * units[12] + 0.45 * units[15], 0.0, 0.7))
    under = bump(head.u, v - bottom - lower - 0.06, 0.55 * half, 0.06)
    return over(skin, 0.7 * person.skin, under * (0.35 + 0.3 * units[17]))


def paint_beard(skin: np.ndarray, head: Head, person: Person, units: ActionUnits, noise: np.ndarray) -> np.ndarray:
    """Paint beard and moustache under the mouth that is painted later; `noise` (n, 48, 48) roughens them."""
    u, v, out = head.u, head.v, np.abs(head.u)
    hairs = np.clip(person.hair * 0.9 + 0.03 * noise, 0.0, 1.0)
    edge = np.maximum(0.72 - 0.95 * out * out - v + 0.12, head.edge - 0.02)
    skin = over(skin, hairs, cover(edge, 0.32) * person.beard)
    lip = person.mouth_height - 0.1 - 0.03 * units[10] + 0.02 * units[12]
    level = lip + 0.35 * out * out - 0.1 * units[12] * out
    strip = np.maximum(np.abs(v - level) - 0.055, out - person.mouth_width - 0.03)
    return over(skin, hairs, cover(strip, 0.1) * person.moustache)
