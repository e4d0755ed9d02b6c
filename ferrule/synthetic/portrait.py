"""Paints portraits: people showing expressions, as a camera would have taken them."""

import numpy as np

from ferrule.samples import IMAGE_SIZE
from ferrule.synthetic.expressions import draw_action_units
from ferrule.synthetic.features import model_relief, paint_beard, paint_brows, paint_eyes, paint_mouth, paint_nose
from ferrule.synthetic.head import light_head, paint_behind, paint_hair, place_head
from ferrule.synthetic.occlusion import paint_occlusions
from ferrule.synthetic.people import Scene, draw_person, draw_scene
from ferrule.synthetic.shapes import blur, blur_down, bump, cover, over
from ferrule.synthetic.stream import Stream


def paint_portraits(expressions: np.ndarray, *seed: int) -> np.ndarray:
    """Return grey images, uint8 (n, 48, 48), of faces showing `expressions`, ids of EMOTIONS (n,)."""
    stream = Stream(len(expressions), *seed)
    person, scene = draw_person(stream), draw_scene(stream)
    units = draw_action_units(expressions, stream)
    noise = stream.noise()
    head = place_head(person, scene, units)

    skin = person.skin + 0.015 * blur(noise)
    skin = paint_beard(skin, head, person, units, noise)
    skin = paint_nose(skin, head, person, units)
    skin = paint_mouth(skin, head, person, scene, units)
    skin = paint_eyes(skin, head, person, scene, units)
    skin = paint_brows(skin, head, person, units)
    face = skin * light_head(head, model_relief(head, person, units), person, scene)

    image = _backdrop(scene, stream)
    image = paint_behind(image, head, person, scene, noise)
    image = over(image, face, cover(head.edge, 1.6 * head.pixel))
    image = paint_hair(image, head, person, scene, noise)
    image = paint_occlusions(image, head, person, scene, stream)
    return _photograph(image, scene, stream)


def _backdrop(scene: Scene, stream: Stream) -> np.ndarray:
    """Return a wall with a gradient and two things out of focus."""
    axis = (np.arange(IMAGE_SIZE) + 0.5) * (2.0 / IMAGE_SIZE) - 1.0
    x, y = axis[None, None, :], axis[None, :, None]
    wall = scene.backdrop + scene.slope_x * x + scene.slope_y * y
    for _ in range(2):
        blob = bump(x - stream.uniform(-1, 1), y - stream.uniform(-1, 1), stream.uniform(0.2, 0.9), stream.uniform(0.2, 1.5))
        wall = over(wall, stream.uniform(0, 1), blob * stream.uniform(0, 0.9))
    return wall


def _photograph(image: np.ndarray, scene: Scene, stream: Stream) -> np.ndarray:
    """Return the image as a camera stores it: exposed, a little soft, grainy, uint8."""
    exposed = (image * scene.exposure - 0.5) * scene.contrast + 0.5
    bright = np.maximum(0.0, exposed - 0.72)
    exposed = exposed - bright + bright / (1.0 + 1.8 * bright)  # film does not burn out at once
    soft = over(exposed, blur(exposed), scene.softness)
    grainy = soft + scene.grain * stream.noise()
    return np.floor(np.clip(grainy, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
