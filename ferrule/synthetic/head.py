"""A head in space: which point of it each pixel shows, and how the light falls on it."""

from dataclasses import dataclass

import numpy as np

from ferrule.samples import IMAGE_SIZE
from ferrule.synthetic.expressions import ActionUnits
from ferrule.synthetic.people import Person, Scene
from ferrule.synthetic.shapes import pixel_axis, slopes

CROWN = 1.25  # from the middle of the head up to its top, in head units
DEPTH = 0.9  # from the middle of the head to the face


@dataclass(frozen=True)
class Head:
    """What each pixel shows: arrays (n, size, size) in head units, x to the right and y down from its middle.

    `x` and `y` are as the camera sees them, made upright; `u` and `v` lie on the face, and turn with it.
    """

    x: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray
    depth: np.ndarray  # towards the camera: 0 at the outline, 1 in the middle
    edge: np.ndarray  # about the distance to the outline, negative inside
    pixel: np.ndarray  # size of a pixel, a column (n, 1, 1)


def place_head(person: Person, scene: Scene, units: ActionUnits, size: int = IMAGE_SIZE) -> Head:
    """Find what each pixel shows of an ellipsoid that narrows to the jaw and is rolled, nodded and turned."""
    x, y = _upright(scene, size)
    chin = person.chin + 0.16 * units[26] - 0.03 * units[17]
    height = y / np.where(y < 0.0, CROWN, chin)
    width = person.width * (1.0 - (1.0 - person.jaw) * np.clip(height, 0.0, 1.0))
    rounding = np.where(y < 0.0, 1.0, 0.5 + 0.5 * height * height)  # jaws are squarer than skulls
    square = (x / width) * (x / width) + height * height * rounding
    depth = np.sqrt(np.maximum(0.0, 1.0 - square))
    u = x * cosine(scene.yaw) - DEPTH * depth * scene.yaw
    v = y * cosine(scene.pitch) - DEPTH * depth * scene.pitch
    edge = (np.sqrt(square) - 1.0) * width
    return Head(x, y, u, v, depth, edge, 2.0 / (size * scene.scale))


def light_head(head: Head, relief: np.ndarray, person: Person, scene: Scene) -> np.ndarray:
    """Return how bright skin looks (n, 48, 48), about 0.3 to 1.3: Lambert's law, and a gleam towards the lamp.

    `relief` (n, 48, 48) is how far the face stands out of the ellipsoid, in head units.
    """
    right, down = slopes(relief)
    level = cosine(scene.roll)
    normal_x = head.x / person.width - (right * level + down * scene.roll) / head.pixel
    normal_y = head.y / CROWN - (down * level - right * scene.roll) / head.pixel
    normal_z = head.depth + 0.12  # not quite 0 at the outline, where the hills would otherwise be cliffs
    length = np.sqrt(normal_x * normal_x + normal_y * normal_y + normal_z * normal_z)
    power = np.sqrt(scene.light_x * scene.light_x + scene.light_y * scene.light_y + 1.0)
    facing = (normal_x * scene.light_x + normal_y * scene.light_y + normal_z) / (length * power)
    gleam = np.maximum(0.0, facing - 0.86)
    return scene.ambient + (1.2 - scene.ambient) * np.maximum(0.0, facing) + 9.0 * gleam * gleam


def cosine(sine: np.ndarray) -> np.ndarray:
    """Return the cosine of an angle within a quarter turn, from its sine."""
    return np.sqrt(1.0 - sine * sine)


def _upright(scene: Scene, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y (n, size, size) of each pixel, in head units, as if the head were centred and not rolled."""
    axis = pixel_axis(size)
    right, down = axis[None, None, :] - scene.shift_x, axis[None, :, None] - scene.shift_y
    x = (right * cosine(scene.roll) + down * scene.roll) / scene.scale
    y = (down * cosine(scene.roll) - right * scene.roll) / scene.scale
    return x, y
