"""Photos to try the faces with, drawn, not taken: the embedded sample's faces, large and in colour.

A portrait in colour is three grey ones of the same person, in red, green and blue light.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ferrule.synthetic.expressions import ACTION_UNITS, PROTOTYPES
from ferrule.synthetic.head import place_head
from ferrule.synthetic.people import draw_person, draw_scene
from ferrule.synthetic.portrait import paint_person
from ferrule.synthetic.shapes import over
from ferrule.synthetic.stream import Stream

Colour = tuple[float, float, float]  # red, green, blue, 0..1
_Values = Mapping[str, float | Colour]

_SEED = 2013
_GRAIN = 0.006  # standard deviation of the noise, of the range of each colour
_PEACH, _OLIVE, _BROWN = (0.95, 0.74, 0.63), (0.84, 0.64, 0.50), (0.58, 0.40, 0.30)
_RED_LIPS, _ROSE_LIPS = (0.1, 0.75, 0.65), (0.0, 0.35, 0.25)  # how much of each colour lipstick takes


@dataclass(frozen=True)
class _Sitter:
    """A person who sits for a portrait: who it is beyond the seed, and how they sit; fields of Person and of Scene."""

    seed: int
    emotion: str
    way: int  # which of the prototypes of the emotion
    strength: float  # how strongly it is used
    clothes: Colour
    traits: _Values
    pose: _Values = field(default_factory=dict)


_PLAIN: _Values = {
    "curl": 0.0,
    "streaks": 0.05,
    "beard": 0.0,
    "moustache": 0.0,
    "lipstick": _ROSE_LIPS,
    "age": 0.0,
}
_UPRIGHT: _Values = dict.fromkeys(("yaw", "pitch", "roll", "shift_x", "shift_y", "gaze_x", "gaze_y", "skew"), 0.0)
_FRONTAL: _Values = {**_UPRIGHT, "scale": 0.5, "light_x": -0.4, "light_y": -0.4, "ambient": 0.6}

_ANNA = _Sitter(
    seed=3,
    emotion="happy",
    way=1,
    strength=0.9,
    clothes=(0.16, 0.33, 0.42),
    traits={
        "skin": _PEACH,
        "hair": (0.40, 0.22, 0.11),
        "long_hair": 1.0,
        "iris": (0.24, 0.32, 0.22),
        "lipstick": _RED_LIPS,
    },
    pose={"yaw": 0.12, "roll": 0.05},
)
_BEN = _Sitter(
    seed=8,
    emotion="surprise",
    way=2,
    strength=0.9,
    clothes=(0.66, 0.30, 0.20),
    traits={"skin": _OLIVE, "hair": (0.13, 0.09, 0.07), "iris": (0.30, 0.20, 0.12), "beard": 0.35},
    pose={"yaw": -0.08},
)
_CLEO = _Sitter(
    seed=14,
    emotion="neutral",
    way=0,
    strength=1.0,
    clothes=(0.80, 0.68, 0.42),
    traits={"skin": _BROWN, "hair": (0.09, 0.07, 0.06), "iris": (0.20, 0.13, 0.08), "long_hair": 0.0},
    pose={"roll": -0.04},
)
_DORA = _Sitter(
    seed=21,
    emotion="sad",
    way=1,
    strength=0.8,
    clothes=(0.30, 0.26, 0.38),
    traits={"skin": _PEACH, "hair": (0.66, 0.62, 0.58), "iris": (0.25, 0.33, 0.42), "age": 0.6},
    pose={"yaw": -0.1, "pitch": 0.1},
)


def example_photos() -> list[tuple[str, np.ndarray]]:
    """Return names and photos, uint8 (height, width, 3), RGB: one face, three faces, a sad one, and none."""
    return [
        ("portrait", _draw_photo(480, 480, (0.70, 0.74, 0.66), [(_ANNA, 0, 480)])),
        ("friends", _draw_photo(960, 480, (0.62, 0.70, 0.72), [(_CLEO, 10, 400), (_BEN, 280, 420), (_ANNA, 570, 390)])),
        ("worry", _draw_photo(480, 480, (0.72, 0.66, 0.62), [(_DORA, 0, 480)])),
        ("landscape", _draw_landscape(960, 540)),
    ]


def _draw_photo(width: int, height: int, wall: Colour, sitters: list[tuple[_Sitter, int, int]]) -> np.ndarray:
    """Return a photo of people before a wall, each with the left edge and the side of the square that they fill."""
    photo = _paint_wall(width, height, wall)
    for sitter, left, side in sitters:
        part = photo[:, height - side :, left : left + side]
        part[:] = _paint_sitter(part, sitter)
    return _expose(photo)


def _paint_wall(width: int, height: int, colour: Colour) -> np.ndarray:
    """Return a wall (3, height, width) that is brighter to the left and above."""
    x, y = np.linspace(-1, 1, width)[None, None, :], np.linspace(-1, 1, height)[None, :, None]
    return _column(colour) * (1.0 - 0.12 * x - 0.1 * y)


def _paint_sitter(backdrop: np.ndarray, sitter: _Sitter) -> np.ndarray:
    """Return a portrait (3, side, side) before the backdrop."""
    side = backdrop.shape[1]
    stream = Stream(1, _SEED, sitter.seed)
    person, scene = draw_person(stream), draw_scene(stream)
    person = replace(person, **_columns({**_PLAIN, **sitter.traits}))
    scene = replace(scene, **_columns({"clothes": sitter.clothes, **_FRONTAL, **sitter.pose}))
    used = PROTOTYPES[sitter.emotion][sitter.way]
    units = {unit: _column(sitter.strength * used.get(unit, 0.0)) for unit in ACTION_UNITS}
    head = place_head(person, scene, units, side)
    rng = np.random.default_rng([_SEED, sitter.seed])
    return paint_person(backdrop, head, person, scene, units, _draw_pores(side, rng), _draw_strands(side, rng))


def _draw_pores(side: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(1, side, side))


def _draw_strands(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise (1, side, side) that changes from one column of pixels to the next, and hardly down a column."""
    return cv2.resize(rng.normal(size=(8, side)), (side, side), interpolation=cv2.INTER_CUBIC)[None]


def _columns(values: _Values) -> dict[str, np.ndarray]:
    return {name: _column(value) for name, value in values.items()}


def _column(value: float | Colour) -> np.ndarray:
    """Return (1, 1, 1), or (3, 1, 1) of a colour: what broadcasts over the pixels of its three images."""
    return np.reshape(value, (-1, 1, 1)).astype(np.float64)


def _draw_landscape(width: int, height: int) -> np.ndarray:
    """Return hills one behind the other under an evening sky."""
    x, y = np.linspace(0, 1, width)[None, None, :], np.linspace(0, 1, height)[None, :, None]
    photo = over(_column((0.42, 0.62, 0.85)) + 0 * x, _column((0.98, 0.86, 0.70)), np.clip(1.5 * y, 0, 1))
    rng = np.random.default_rng(_SEED)
    for nearness in np.linspace(0.2, 1.0, 4):
        waves = sum(np.sin(x * rng.uniform(3, 14) + rng.uniform(0, 6)) for _ in range(4))
        ridge = 0.35 + 0.45 * nearness + 0.03 * waves
        tone = over(_column((0.72, 0.78, 0.84)), _column((0.16, 0.30, 0.18)), nearness)
        photo = over(photo, tone * (1.1 - 0.3 * (y - ridge)), np.clip((y - ridge) * height / 2 + 0.5, 0, 1))
    return _expose(photo)


def _expose(photo: np.ndarray) -> np.ndarray:
    """Return (3, height, width) as a camera keeps it: a little grainy, uint8 (height, width, 3)."""
    grainy = photo + _GRAIN * np.random.default_rng(_SEED).normal(size=photo.shape)
    return np.ascontiguousarray((grainy.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
