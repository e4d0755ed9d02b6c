"""Portraits: people who show expressions, as a camera would have taken them."""

import numpy as np

from ferrule.synthetic.expressions import ActionUnits, draw_action_units
from ferrule.synthetic.eyes import paint_brows, paint_eyes
from ferrule.synthetic.hair import paint_behind, paint_hair
from ferrule.synthetic.head import Head, light_head, place_head
from ferrule.synthetic.mouth import paint_beard, paint_mouth, paint_nose
from ferrule.synthetic.occlusion import paint_occlusions
from ferrule.synthetic.people import Person, Scene, draw_person, draw_scene
from ferrule.synthetic.relief import model_relief
from ferrule.synthetic.shapes import blur, bump, cover, over, pixel_axis
from ferrule.synthetic.stream import Stream


def paint_portraits(expressions: np.ndarray, *seed: int) -> np.ndarray:
    """Return portraits, uint8 (n, 48, 48), of people who show `expressions`, positions in EMOTIONS (n,).

    The same expressions and seed give the same bytes on every machine. The seed alone decides who is in the n pictures
    and how they were taken, so other expressions with the same seed are other faces of the same people.
    """
    stream = Stream(len(expressions), *seed)
    person, scene = draw_person(stream), draw_scene(stream)
    units = draw_action_units(expressions, stream)
    noise = stream.noise()
    head = place_head(person, scene, units)
    image = paint_person(_paint_backdrop(scene, stream), head, person, scene, units, noise, noise)
    image = paint_occlusions(image, head, person, scene, stream)
    return _photograph(image, scene, stream)


def paint_person(
    image: np.ndarray,
    head: Head,
    person: Person,
    scene: Scene,
    units: ActionUnits,
    skin_noise: np.ndarray,
    hair_noise: np.ndarray,
) -> np.ndarray:
    """Paint a person over the backdrop `image` (n, size, size), which is the size that the head was placed in."""
    image = paint_behind(image, head, person, scene, hair_noise)
    face = _paint_face(head, person, scene, units, skin_noise)
    return paint_hair(over(image, face, cover(head.edge, 1.6 * head.pixel)), head, person, scene, hair_noise)


def _paint_backdrop(scene: Scene, stream: Stream) -> np.ndarray:
    """Return a wall (n, 48, 48) that is brighter to one side, and before it two things out of focus."""
    x, y = pixel_axis()[None, None, :], pixel_axis()[None, :, None]
    wall = scene.backdrop + scene.slope_x * x + scene.slope_y * y
    for _ in range(2):
        right, down = x - stream.uniform(-1.0, 1.0), y - stream.uniform(-1.0, 1.0)
        thing = bump(right, down, stream.uniform(0.2, 0.9), stream.uniform(0.2, 1.5))
        wall = over(wall, stream.uniform(0.0, 1.0), thing * stream.uniform(0.0, 0.9))
    return wall


def _paint_face(head: Head, person: Person, scene: Scene, units: ActionUnits, noise: np.ndarray) -> np.ndarray:
    skin = person.skin + 0.015 * blur(noise)
    skin = paint_beard(skin, head, person, units, noise)
    skin = paint_nose(skin, head, person, units)
    skin = paint_mouth(skin, head, person, scene, units)
    skin = paint_eyes(skin, head, person, scene, units)
    skin = paint_brows(skin, head, person, units)
    return skin * light_head(head, model_relief(head, person, units), person, scene)


def _photograph(image: np.ndarray, scene: Scene, stream: Stream) -> np.ndarray:
    """Return images as a camera keeps them: exposed, a little soft, grainy, uint8."""
    exposed = (image * scene.exposure - 0.5) * scene.contrast + 0.5
    glare = np.maximum(0.0, exposed - 0.7)
    exposed = exposed - glare + glare / (1.0 + 2.2 * glare)  # the bright end burns out gently
    soft = over(exposed, blur(exposed), scene.softness)
    grainy = soft + scene.grain * stream.noise()
    return np.floor(np.clip(grainy, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
