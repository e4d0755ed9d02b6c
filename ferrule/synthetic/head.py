"""A head in space: where each pixel falls on it, how light falls on it, and the hair around it."""

from dataclasses import dataclass

import numpy as np

from ferrule.samples import IMAGE_SIZE
from ferrule.synthetic.expressions import ActionUnits
from ferrule.synthetic.people import Person, Scene
from ferrule.synthetic.shapes import blur, blur_down, cover, ellipse, over, ridge, slopes


@dataclass(frozen=True)
class Head:
    """Where each pixel falls; arrays (n, 48, 48) in head units, x to the right and y down, (0, 0) the middle of the head.

    `x`, `y` are seen from the camera, made upright; `u`, `v` lie on the face itself, which has turned: (0, 0) stays
    between the eyes and the tip of the nose, whatever the pose.
    """

    x: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray
    depth: np.ndarray  # 0 at the outline, 1 in the middle
    edge: np.ndarray  # signed distance to the outline, negative inside
    pixel: np.ndarray  # size of a pixel, a column (n, 1, 1)


def place_head(person: Person, scene: Scene, units: ActionUnits) -> Head:
    """Find for each pixel the point of the head that it shows: an ellipsoid, narrower at the chin, rolled and turned."""
    axis = (np.arange(IMAGE_SIZE) + 0.5) * (2.0 / IMAGE_SIZE) - 1.0
    right, down = axis[None, None, :] - scene.shift_x, axis[None, :, None] - scene.shift_y
    cos = np.sqrt(1.0 - scene.roll * scene.roll)
    x = (right * cos + down * scene.roll) / scene.scale
    y = (down * cos - right * scene.roll) / scene.scale

    drop = person.chin + 0.16 * units[26] - 0.03 * units[17]
    tall = y / np.where(y < 0.0, 1.25, drop)
    below = np.clip(tall, 0.0, 1.0)
    half = person.width * (1.0 - (1.0 - person.jaw) * below)
    round_jaw = tall * tall * np.where(y < 0.0, 1.0, 0.5 + 0.5 * tall * tall)
    square = (x / half) * (x / half) + round_jaw
    depth = np.sqrt(np.maximum(0.0, 1.0 - square))

    side, nod = np.sqrt(1.0 - scene.yaw * scene.yaw), np.sqrt(1.0 - scene.pitch * scene.pitch)
    u = x * side - depth * scene.yaw * 0.9
    v = y * nod - depth * scene.pitch * 0.9
    return Head(x, y, u, v, depth, (np.sqrt(square) - 1.0) * half, 2.0 / (IMAGE_SIZE * scene.scale))


def light_head(head: Head, relief: np.ndarray, person: Person, scene: Scene) -> np.ndarray:
    """Return how bright skin is (n, 48, 48), about 0.2..1.2: Lambert's law on the ellipsoid with the face's relief on it."""
    right, down = slopes(relief)
    cos = np.sqrt(1.0 - scene.roll * scene.roll)
    steep_x = (right * cos + down * scene.roll) / head.pixel
    steep_y = (down * cos - right * scene.roll) / head.pixel
    nx = head.x / person.width - steep_x
    ny = head.y / 1.25 - steep_y
    nz = head.depth + 0.12
    facing = nx * scene.light_x + ny * scene.light_y + nz
    size = np.sqrt(nx * nx + ny * ny + nz * nz)
    bright = np.sqrt(scene.light_x * scene.light_x + scene.light_y * scene.light_y + 1.0)
    cosine = np.maximum(0.0, facing / (size * bright))
    gleam = np.maximum(0.0, cosine - 0.86)
    return scene.ambient + (1.2 - scene.ambient) * cosine + 1.3 * gleam * gleam / 0.14


def paint_behind(image: np.ndarray, head: Head, person: Person, scene: Scene, noise: np.ndarray) -> np.ndarray:
    """Paint what the head stands before: long hair, neck, clothes and ears."""
    wide = person.width + person.volume + 0.12 * np.clip(head.y + 0.4, 0.0, 1.5)
    curtain = np.maximum(np.abs(head.x) - wide, -0.45 - head.y) + blur(blur(noise)) * person.curl
    strands = blur_down(blur_down(noise)) * person.streaks
    tone = person.hair * (0.75 + 0.2 * scene.light_x * head.x) + strands * (0.2 + 0.6 * person.hair)
    image = over(image, tone, cover(curtain, 3.0 * head.pixel) * person.length)
    neck = np.abs(head.x + 0.15 * scene.yaw) - 0.56 * person.width - 0.1 * (head.y - 1.2) * (head.y - 1.2)
    side = 0.55 + 0.25 * scene.light_x * head.x + 0.12 * (head.y - 1.2)
    image = over(image, person.skin * side, cover(np.maximum(neck, 0.3 - head.y), 2.0 * head.pixel))
    shoulders = 1.42 + 0.3 * head.x * head.x - head.y
    image = over(image, scene.clothes, cover(shoulders, 2.0 * head.pixel))
    for sign in (-1.0, 1.0):
        ear = ellipse(head.x - sign * (person.width - 0.01) + 0.1 * scene.yaw, head.y + 0.02, 0.13, 0.25)
        tone = person.skin * (0.62 + 0.2 * sign * scene.light_x)
        image = over(image, tone, cover(ear, 1.5 * head.pixel) * (1.0 - person.length))
    return image


def paint_hair(image: np.ndarray, head: Head, person: Person, scene: Scene, noise: np.ndarray) -> np.ndarray:
    """Paint the hair over the forehead and around the head; `noise` (n, 48, 48) becomes its strands."""
    locks = blur(blur(noise)) * person.curl
    bent = head.u - person.parting
    line = person.hairline + person.temples * bent * bent / (1.0 + bent * bent) + 0.5 * locks
    beside = np.maximum(0.92 * person.width - np.abs(head.u), head.y - 0.12)
    # Short hair closes around the head above the ears; long hair falls on as two curtains.
    closing = np.abs(head.x) - person.width - person.volume * np.clip(1.0 - 2.6 * (head.y + 0.4), 0.0, 1.0)
    crown = ellipse(head.x, head.y + 0.4, person.width + person.volume, 0.9 + 1.4 * person.volume)
    short = np.where(head.y < -0.4, crown, closing)
    curtain = np.maximum(np.abs(head.x) - person.width - person.volume, person.width * 0.9 - np.abs(head.u))
    beside = np.where(person.length > 0, curtain, beside)
    reach = np.where((person.length > 0) & (head.y > -0.4), curtain, short)
    strands = blur_down(blur_down(noise)) * person.streaks
    sheen = ridge(head.y + 0.9 - 0.25 * scene.light_y, 0.4) * 0.4
    tone = person.hair * np.clip(0.9 + 0.3 * scene.light_x * head.x + sheen, 0.3, 1.8) + strands * (0.3 + person.hair)
    shadow = cover(np.maximum(head.v - line - 0.08, head.edge), 0.25) * 0.3
    image = image * (1.0 - shadow * cover(head.edge, 0.1))
    hairy = np.maximum(np.minimum(head.v - line, beside), reach + locks)
    return over(image, tone, cover(hairy, 2.0 * head.pixel))
