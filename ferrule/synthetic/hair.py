"""Hair, and what else the head stands before: neck, clothes and ears."""

import numpy as np

from ferrule.synthetic.head import Head
from ferrule.synthetic.people import Person, Scene
from ferrule.synthetic.shapes import blur, blur_down, cover, ellipse, over, ridge

EARS = -0.4  # short hair closes around the head from this height on, long hair falls


def paint_behind(image: np.ndarray, head: Head, person: Person, scene: Scene, noise: np.ndarray) -> np.ndarray:
    """Paint long hair, neck, clothes and ears over the backdrop; `noise` (n, 48, 48) becomes strands."""
    image = _paint_long_hair(image, head, person, scene, noise)
    neck = np.abs(head.x + 0.15 * scene.yaw) - 0.56 * person.width - 0.1 * (head.y - 1.2) * (head.y - 1.2)
    shade = 0.55 + 0.25 * scene.light_x * head.x + 0.12 * (head.y - 1.2)
    image = over(image, person.skin * shade, cover(np.maximum(neck, 0.3 - head.y), 2.0 * head.pixel))
    shoulders = 1.42 + 0.3 * head.x * head.x - head.y
    image = over(image, scene.clothes, cover(shoulders, 2.0 * head.pixel))
    for side in (-1.0, 1.0):
        ear = ellipse(head.x - side * (person.width - 0.01) + 0.1 * scene.yaw, head.y + 0.02, 0.13, 0.25)
        tone = person.skin * (0.62 + 0.2 * side * scene.light_x)
        image = over(image, tone, cover(ear, 1.5 * head.pixel) * (1.0 - person.long_hair))
    return image


def paint_hair(image: np.ndarray, head: Head, person: Person, scene: Scene, noise: np.ndarray) -> np.ndarray:
    """Paint the hair over the head, and its shadow on the forehead; `noise` (n, 48, 48) becomes curls and strands."""
    locks = _locks(person, noise)
    bent = head.u - person.parting
    line = head.v - person.hairline - person.temples * bent * bent / (1.0 + bent * bent) - 0.5 * locks
    sides, reach = _outline(head, person)
    shadow = cover(np.maximum(line - 0.08, head.edge), 0.25) * cover(head.edge, 0.1)
    image = image * (1.0 - 0.3 * shadow)
    sheen = 0.4 * ridge(head.y + 0.9 - 0.25 * scene.light_y, 0.4)
    bright = np.clip(0.9 + 0.3 * scene.light_x * head.x + sheen, 0.3, 1.8)
    tone = person.hair * bright + _strands(person, noise) * (0.3 + person.hair)
    return over(image, tone, cover(np.maximum(np.minimum(line, sides), reach + locks), 2.0 * head.pixel))


def _paint_long_hair(image: np.ndarray, head: Head, person: Person, scene: Scene, noise: np.ndarray) -> np.ndarray:
    spread = person.width + person.volume + 0.12 * np.clip(head.y - EARS, 0.0, 1.5)
    edge = np.maximum(np.abs(head.x) - spread, EARS - 0.05 - head.y) + _locks(person, noise)
    tone = person.hair * (0.75 + 0.2 * scene.light_x * head.x) + _strands(person, noise) * (0.2 + 0.6 * person.hair)
    return over(image, tone, cover(edge, 3.0 * head.pixel) * person.long_hair)


def _outline(head: Head, person: Person) -> tuple[np.ndarray, np.ndarray]:
    """Return two edges: of the hair that frames the face below the hairline, and of all hair around the head."""
    outer = np.abs(head.x) - person.width
    crown = ellipse(head.x, head.y - EARS, person.width + person.volume, 0.9 + 1.4 * person.volume)
    closing = outer - person.volume * np.clip(1.0 - 2.6 * (head.y - EARS), 0.0, 1.0)
    sideburns = np.maximum(0.92 * person.width - np.abs(head.u), head.y - 0.02)
    curtain = np.maximum(outer - person.volume, 0.9 * person.width - np.abs(head.u))
    long_hair = person.long_hair > 0
    below = np.where(long_hair, curtain, closing)
    return np.where(long_hair, curtain, sideburns), np.where(head.y < EARS, crown, below)


def _locks(person: Person, noise: np.ndarray) -> np.ndarray:
    return blur(blur(noise)) * person.curl


def _strands(person: Person, noise: np.ndarray) -> np.ndarray:
    return blur_down(blur_down(noise)) * person.streaks
