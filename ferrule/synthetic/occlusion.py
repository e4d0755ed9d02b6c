"""What comes between a face and the camera: glasses, hair, a hand, a picture agency's caption."""

import numpy as np

from ferrule.samples import IMAGE_SIZE
from ferrule.synthetic.eyes import EYE_LEVEL
from ferrule.synthetic.head import Head, cosine
from ferrule.synthetic.people import Person, Scene
from ferrule.synthetic.shapes import cover, ellipse, over, segment
from ferrule.synthetic.stream import Stream


def paint_occlusions(image: np.ndarray, head: Head, person: Person, scene: Scene, stream: Stream) -> np.ndarray:
    """Paint glasses on 13 % of the faces (dark ones on 2 %), a lock over 4 %, a hand over 5 %, a caption over 3 %."""
    image = _paint_glasses(image, head, person, stream)
    image = _paint_lock(image, head, person, stream)
    image = _paint_hand(image, head, person, scene, stream)
    return _paint_caption(image, stream)


def _paint_glasses(image: np.ndarray, head: Head, person: Person, stream: Stream) -> np.ndarray:
    worn, dark, frame_tone = stream.chance(0.13), stream.chance(0.15), stream.uniform(0.02, 0.35)
    width, height, frame = stream.uniform(0.24, 0.31), stream.uniform(0.17, 0.25), stream.uniform(0.02, 0.05)
    out, y = np.abs(head.u), head.v - EYE_LEVEL
    a, b = (out - person.eye_gap) / width, (y - 0.02) / height
    # Halfway between an ellipse and a rectangle.
    square = a * a * (0.4 + 0.6 * a * a) + b * b * (0.4 + 0.6 * b * b)
    rim = (np.sqrt(square) - 1.0) * height
    lens = cover(rim, 1.5 * head.pixel) * worn
    image = over(image, 0.05, 0.93 * lens * dark)
    image = over(image, 0.95, 0.25 * lens * cover(np.abs(head.u + head.v - 0.3) - 0.05, 0.1))
    bridge = np.maximum(np.abs(y + 0.04) - frame, out - person.eye_gap + width)
    arms = np.maximum(np.maximum(np.abs(y + 0.04) - frame, person.eye_gap + width - out), head.edge)
    metal = np.minimum(np.abs(rim) - frame, np.minimum(bridge, arms))
    return over(image, frame_tone, cover(metal, 1.5 * head.pixel) * worn)


def _paint_lock(image: np.ndarray, head: Head, person: Person, stream: Stream) -> np.ndarray:
    """Paint a lock that falls over an eye; the bald have none."""
    seen = stream.chance(0.04) * (person.hairline > -1.2)
    side = 1.0 - 2.0 * stream.chance(0.5)
    root, tip = side * stream.uniform(-0.1, 0.3), side * stream.uniform(0.5, 0.8)
    for strand in range(4):
        start = (root - 0.1 * side * strand, -1.1)
        end = (tip - 0.16 * side * strand, 0.2 - 0.16 * strand)
        edge = segment(head.u, head.v, start, end) - 0.055
        image = over(image, person.hair * (0.8 + 0.15 * strand), 0.9 * seen * cover(edge, 2.5 * head.pixel))
    return image


def _paint_hand(image: np.ndarray, head: Head, person: Person, scene: Scene, stream: Stream) -> np.ndarray:
    """Paint a hand that holds a cheek or covers the mouth: a palm, and four fingers with shadows between them."""
    seen, side = stream.chance(0.05), 1.0 - 2.0 * stream.chance(0.5)
    right, down = head.x - side * stream.uniform(0.5, 1.0), head.y - stream.uniform(0.8, 1.1)
    lean = side * stream.uniform(-0.95, 0.1)
    x, y = right * cosine(lean) + down * lean, down * cosine(lean) - right * lean
    light = 0.7 + 0.25 * scene.ambient + 0.12 * scene.light_x * x - 0.15 * y
    tone = person.skin * np.clip(light, 0.4, 1.1)
    for place, reach in ((-1.5, 0.46), (-0.5, 0.6), (0.5, 0.64), (1.5, 0.54)):
        edge = segment(x, y, (0.19 * place, 0.3), (0.23 * place, -reach)) - 0.11
        image = over(image, 0.35 * tone, 0.6 * seen * cover(edge - 0.04, 0.12))
        image = over(image, tone * (1.0 - 0.25 * cover(-0.05 - edge, 0.1)), seen * cover(edge, 1.3 * head.pixel))
    palm = ellipse(x, y - 0.5, 0.46, 0.5)
    return over(image, 0.95 * tone, seen * cover(palm, 3.0 * head.pixel))


def _paint_caption(image: np.ndarray, stream: Stream) -> np.ndarray:
    """Paint what looks like a line of faint letters, 3 pixels wide and 5 high."""
    seen, white = stream.chance(0.03), stream.chance(0.5)
    start = stream.below(36).reshape(-1, 1, 1) + 6
    rows, columns = np.arange(IMAGE_SIZE)[None, :, None], np.arange(IMAGE_SIZE)[None, None, :]
    ink = (rows >= start) & (rows < start + 5) & (columns % 4 != 3) & (stream.noise() > 0.2)
    return over(image, white, 0.35 * seen * ink)
