"""The relief of a face: what stands out of the ellipsoid of the head, and the folds that expressions press into it.

Positions lie on the face (`Head.u`, `Head.v`); both halves are made at once, from the distance |u| to the middle.
"""

import numpy as np

from ferrule.synthetic.expressions import ActionUnits
from ferrule.synthetic.eyes import EYE_LEVEL
from ferrule.synthetic.head import Head
from ferrule.synthetic.people import Person
from ferrule.synthetic.shapes import bump, cover, ridge, segment


def model_relief(head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Return how far each point of the face stands out (n, 48, 48), in head units."""
    u, v, out = head.u, head.v, np.abs(head.u)
    cheek = (0.05 + 0.07 * units[6] + 0.05 * units[12]) * bump(
        out - 0.52, v - 0.3 + 0.1 * units[6] + 0.04 * units[12], 0.34, 0.28
    )
    chin = (0.06 + 0.05 * units[17]) * bump(u, v - person.chin + 0.2 - 0.14 * units[26], 0.3, 0.2)
    socket = 0.13 * bump(out - person.eye_gap, v - EYE_LEVEL, 0.34, 0.22)
    brow = 0.05 * bump(out - 0.4, v + person.brow_height + 0.02, 0.4, 0.14)
    lips = 0.07 * bump(u, v - person.mouth_height, 0.42, 0.26)
    hills = _nose(head, person) + cheek + chin - socket + brow + lips
    return hills - _fold_cheeks(head, person, units) - _fold_brow(head, person, units) - _fold_eyes(head, person, units)


def _nose(head: Head, person: Person) -> np.ndarray:
    u, v, tip = head.u, head.v, person.nose_length
    along = np.clip((v + 0.15) / (tip + 0.15), 0.0, 1.0)
    back = 0.2 * ridge(u, 0.1 + 0.12 * along) * along * cover(v - tip - 0.06, 0.16)
    wings = 0.05 * bump(np.abs(u) - person.nose_width, v - tip - 0.02, 0.1, 0.1)
    return back + 0.1 * bump(u, v - tip, 0.17, 0.15) + wings


def _fold_cheeks(head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Return the depth of the nasolabial folds, from the wings of the nose around the corners of the mouth."""
    wing = (person.nose_width + 0.05, person.nose_length - 0.06 * units[9])
    corner = (person.mouth_width + 0.14 + 0.08 * units[12], person.mouth_height - 0.02)
    bow = 0.06 * ridge(head.v - (wing[1] + corner[1]) / 2.0, 0.25)
    depth = 0.006 + 0.022 * person.age + 0.03 * units[12] + 0.035 * units[10] + 0.03 * units[9] + 0.012 * units[20]
    return depth * ridge(segment(np.abs(head.u) - bow, head.v, wing, corner), 0.11)


def _fold_brow(head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Return the depth of the lines across the forehead (1, 2), of the frown (4) and of the wrinkled nose (9)."""
    out, above = np.abs(head.u), head.v + person.brow_height
    raised = np.maximum(0.0, np.maximum(units[1], units[2]) - 0.6 * units[4])
    lines = (ridge(above + 0.2, 0.06) + ridge(above + 0.36, 0.06)) * cover(out - 0.5, 0.4)
    frown = ridge(out - 0.07, 0.06) * bump(head.u, above - 0.04, 0.5, 0.22)
    bridge = (ridge(head.v + 0.14, 0.05) + ridge(head.v + 0.03, 0.05)) * cover(out - 0.15, 0.15)
    return (
        (0.012 * person.age + 0.022 * raised) * lines
        + (0.01 * person.age + 0.05 * units[4]) * frown
        + 0.07 * units[9] * bridge
    )


def _fold_eyes(head: Head, person: Person, units: ActionUnits) -> np.ndarray:
    """Return the depth of the crow's feet beside the eyes and of the pouches under them (6)."""
    out, v = np.abs(head.u), head.v - EYE_LEVEL
    foot = person.eye_gap + 0.24
    feet = ridge(segment(out, v, (foot, -0.04), (foot + 0.17, -0.13)), 0.05)
    feet = feet + ridge(segment(out, v, (foot, 0.04), (foot + 0.17, 0.1)), 0.05)
    across = out - person.eye_gap
    pouch = ridge(v - 0.17 + 1.2 * across * across, 0.06) * cover(np.abs(across) - 0.2, 0.2)
    return (0.01 * person.age + 0.035 * units[6]) * feet + (0.012 + 0.02 * person.age + 0.02 * units[6]) * pouch
