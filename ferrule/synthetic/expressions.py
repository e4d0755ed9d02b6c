"""How an expression moves a face: the action units of FACS (Ekman and Friesen 1978), and which emotion uses which."""

from collections.abc import Mapping

import numpy as np

from ferrule.emotions import EMOTIONS
from ferrule.synthetic.stream import Stream

ActionUnits = Mapping[int, np.ndarray]  # how strongly each action unit is used: 0 to about 2, columns (n, 1, 1)

ACTION_UNITS = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    15: "lip corner depressor",
    16: "lower lip depressor",
    17: "chin raiser",
    20: "lip stretcher",
    24: "lip pressor",
    25: "lips part",
    26: "jaw drop",
    43: "eyes closed",
}

# The ways in which each emotion is shown here, all equally likely; the combinations follow EMFACS.
PROTOTYPES: Mapping[str, tuple[Mapping[int, float], ...]] = {
    "angry": (
        {4: 1.0, 5: 0.4, 7: 0.8, 17: 0.4, 24: 1.0},
        {4: 1.0, 7: 0.7, 10: 0.6, 16: 0.7, 25: 0.8, 26: 0.3},
        {4: 1.1, 5: 0.6, 7: 0.5, 10: 0.5, 16: 0.5, 25: 1.0, 26: 0.8},
    ),
    "disgust": (
        {4: 0.3, 7: 0.5, 9: 1.2, 10: 0.9, 15: 0.6, 17: 0.8},
        {6: 0.5, 9: 1.1, 10: 1.3, 16: 0.4, 25: 0.7},
    ),
    "fear": (
        {1: 1.0, 2: 0.6, 4: 0.7, 5: 1.0, 20: 1.0, 25: 0.7, 26: 0.2},
        {1: 1.0, 2: 0.7, 4: 0.6, 5: 1.1, 16: 0.5, 20: 1.0, 25: 0.9, 26: 0.4},
    ),
    "happy": (
        {6: 0.7, 12: 1.0},
        {6: 0.9, 12: 1.0, 25: 0.9},
        {6: 1.0, 12: 1.1, 25: 1.0, 26: 0.6},
    ),
    "sad": (
        {1: 1.0, 4: 0.6, 15: 1.0, 17: 0.6},
        {1: 0.9, 4: 0.4, 15: 0.8, 43: 0.6},
        {1: 0.9, 4: 0.7, 6: 0.4, 15: 1.0, 20: 0.3, 25: 0.4},
    ),
    "surprise": (
        {1: 0.9, 2: 1.0, 5: 0.8, 25: 0.8, 26: 0.7},
        {1: 1.0, 2: 1.1, 5: 1.0, 25: 1.0, 26: 1.1},
        {1: 0.9, 2: 1.0, 5: 1.0, 25: 0.8, 26: 0.4},
    ),
    "neutral": ({}, {43: 0.25}),
}

_WAYS = 6  # a common multiple of the numbers of prototypes: a table with this many columns gives each the same chance


def draw_action_units(expressions: np.ndarray, stream: Stream) -> ActionUnits:
    """Draw how strongly each action unit is used in faces that show `expressions`, positions in EMOTIONS (n,).

    A face follows one prototype of its expression, never exactly; 8 % of the faces do so only faintly, and 20 % have a
    trace of another expression: these are what a classifier will find hard.
    """
    foreign = (expressions + 1 + stream.below(len(EMOTIONS) - 1)) % len(EMOTIONS)
    faintness = stream.chance(0.08) * stream.uniform(0.3, 0.7)
    strength = stream.middling(0.8, 1.5) * (1.0 - faintness)
    trace = stream.chance(0.2) * stream.uniform(0.1, 0.35)
    own_way, foreign_way = stream.below(_WAYS), stream.below(_WAYS)
    units = {}
    for unit in ACTION_UNITS:
        table = _strengths(unit)
        own = table[expressions, own_way].reshape(-1, 1, 1)
        other = table[foreign, foreign_way].reshape(-1, 1, 1)
        twitch = stream.chance(0.3) * stream.uniform(0.0, 0.2)
        units[unit] = strength * stream.uniform(0.7, 1.25) * own + trace * other + twitch
    return units


def _strengths(unit: int) -> np.ndarray:
    """Return how strongly each emotion (row) uses an action unit in each of its ways (column)."""
    prototypes = (PROTOTYPES[emotion] for emotion in EMOTIONS)
    return np.array([[ways[way % len(ways)].get(unit, 0.0) for way in range(_WAYS)] for ways in prototypes])
