"""What stands between a face and the camera: glasses, a hand, strands of hair, an agency's caption."""

import numpy as np

from ferrule.synthetic.features import EYE_LEVEL
from ferrule.synthetic.head import Head
from ferrule.synthetic.people import Person, Scene
from ferrule.synthetic.shapes import cover, ellipse, over, segment
from ferrule.synthetic.stream import Stream


def paint_occlusions(image: np.ndarray, head: Head, person: Person, scene: Scene, stream: Stream) -> np.ndarray:
    """Paint glasses on 12 % of the faces, dark ones on 2 %, a hand over 5 %, strands over 4 %, a caption over 3 %."""
    image = _glasses(image, head, person, stream)
    image = _strands(image, head, person, stream)
    image = _hand(image, head, person, scene, stream)
    return _caption(image, stream)


def _glasses(image: np.ndarray, head: Head, person: Person, stream: Stream) -> np.ndarray:
    worn, dark = stream.chance(0.13), stream.chance(0.15)
    out = np.abs(head.u)
    wide, tall, frame = stream.uniform(0.24, 0.31), stream.uniform(0.17, 0.25), stream.uniform(0.02, 0.05)
    tone = stream.uniform(0.02, 0.35)
    a = (out - person.eye_gap) / wide
    b = (head.v - EYE_LEVEL - 0.02) / tall
    square = a * a * (0.4 + 0.6 * a * a) + b * b * (0.4 + 0.6 * b * b)  # between an ellipse and a rectangle
    rim = (np.sqrt(square) - 1.0) * tall
    image = over(image, 0.05, cover(rim, 1.5 * head.pixel) * worn * dark * 0.93)
    glare = cover(np.abs(head.u + head.v - 0.3) - 0.05, 0.1) * cover(rim, 1.5 * head.pixel)
    image = over(image, 0.95, glare * worn * 0.25)
    image = over(image, tone, cover(np.abs(rim) - frame, 1.5 * head.pixel) * worn)
    bridge = np.maximum(np.abs(head.v - EYE_LEVEL + 0.03) - frame, out - person.eye_gap + wide)
    arms = np.maximum(np.abs(head.v - EYE_LEVEL + 0.04) - frame, person.eye_gap + wide - out)
    shown = np.minimum(bridge, np.maximum(arms, head.edge))
    return over(image, tone, cover(shown, 1.5 * head.pixel) * worn)


def _strands(image: np.ndarray, head: Head, person: Person, stream: Stream) -> np.ndarray:
    seen, sign = stream.chance(0.04) * (person.hairline > -1.2), 1.0 - 2.0 * stream.chance(0.5)
    root, tip = sign * stream.uniform(-0.1, 0.3), sign * stream.uniform(0.5, 0.8)
    for number in range(4):
        start, end = (root - sign * 0.1 * number, -1.1 + 0.0 * seen), (tip - sign * 0.16 * number, 0.2 - 0.16 * number + 0.0 * seen)
        lock = segment(head.u, head.v, start, end) - 0.055
        image = over(image, person.hair * (0.8 + 0.15 * number), cover(lock, 2.5 * head.pixel) * seen * 0.9)
    return image


def _hand(image: np.ndarray, head: Head, person: Person, scene: Scene, stream: Stream) -> np.ndarray:
    seen, sign = stream.chance(0.05), 1.0 - 2.0 * stream.chance(0.5)
    x0, y0 = sign * stream.uniform(0.3, 0.95), stream.uniform(0.75, 1.15)
    lean = sign * stream.uniform(-0.45, 0.1)
    tone = person.skin * (scene.ambient + 0.75 * (1.0 - scene.ambient))
    palm = ellipse(head.x - x0 - 0.1 * sign, head.y - y0 - 0.4, 0.42, 0.5)
    image = over(image, tone * 0.86, cover(palm, 1.5 * head.pixel) * seen)
    for finger in range(4):
        offset = finger - 1.5
        reach = 0.66 - 0.08 * (finger - 1.4) * (finger - 1.4)
        base = (x0 + 0.17 * offset, y0 + 0.25 + 0.0 * seen)
        tip = (x0 + 0.235 * offset + lean, y0 - reach + 0.0 * seen)
        distance = segment(head.x, head.y, base, tip) - 0.1
        image = over(image, tone * 0.45, cover(distance - 0.05, 0.12) * seen * 0.8)
        rounding = 1.0 - 0.2 * cover(-0.05 - distance, 0.1)
        image = over(image, tone * rounding, cover(distance, 1.2 * head.pixel) * seen)
    return image


def _caption(image: np.ndarray, stream: Stream) -> np.ndarray:
    seen, row, tone = stream.chance(0.03), stream.below(36) + 6, stream.chance(0.5)
    rows, columns = np.arange(48)[None, :, None], np.arange(48)[None, None, :]
    glyphs = stream.noise() > 0.2
    inside = (rows >= row.reshape(-1, 1, 1)) & (rows < row.reshape(-1, 1, 1) + 5) & (columns % 4 != 3)
    return over(image, tone, np.where(inside & glyphs, 0.35, 0.0) * seen)
