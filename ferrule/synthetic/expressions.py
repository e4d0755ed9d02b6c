"""How each expression moves a face: the action units of FACS (Ekman & Friesen 1978) and who uses which, how strongly."""

from collections.abc import Mapping

import numpy as np

from ferrule.emotions import EMOTIONS
from ferrule.synthetic.stream import Stream

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

# Two or three ways to show each emotion (after EMFACS): strengths of action units from 0 to about 1.
PROTOTYPES: Mapping[str, tuple[Mapping[int, float], ...]] = {
    "angry": (
        {4: 1.0, 5: 0.4, 7: 0.8, 17: 0.4, 24: 1.0},
        {4: 1.0, 7: 0.7, 10: 0.6, 16: 0.7, 25: 0.8, 26: 0.3},
        {4: 1.1, 5: 0.6, 7: 0.5, 10: 0.5, 16: 0.5, 25: 1.0, 26: 0.8},
    ),
    "disgust": (
        {4: 0.5, 7: 0.6, 9: 1.1, 10: 0.8, 15: 0.5, 17: 0.8},
        {4: 0.4, 6: 0.5, 9: 1.0, 10: 1.2, 16: 0.3, 25: 0.6},
    ),
    "fear": (
        {1: 1.0, 2: 0.6, 4: 0.7, 5: 0.9, 20: 0.9, 25: 0.6, 26: 0.1},
        {1: 1.0, 2: 0.7, 4: 0.6, 5: 1.0, 16: 0.4, 20: 0.8, 25: 0.8, 26: 0.4},
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
        {1: 0.9, 2: 1.0, 5: 0.9, 25: 0.5, 26: 0.3},
    ),
    "neutral": ({}, {43: 0.25}),
}

ActionUnits = Mapping[int, np.ndarray]  # the strength of each action unit, a column (n, 1, 1)


def draw_action_units(expressions: np.ndarray, stream: Stream) -> ActionUnits:
    """Draw how strongly each action unit is used by faces showing `expressions`, ids of EMOTIONS (n,).

    A face follows one prototype of its expression, some faintly, some with a trace of another expression, and nobody
    follows it exactly.
    """
    other = (expressions + 1 + stream.below(len(EMOTIONS) - 1)) % len(EMOTIONS)
    intensity = stream.middling(0.4, 1.25)
    faint = stream.chance(0.12)
    intensity = intensity * (1.0 - faint * stream.uniform(0.35, 0.75))
    trace = stream.chance(0.25) * stream.uniform(0.1, 0.4)
    own, foreign = _choose(expressions, stream), _choose(other, stream)
    return {
        unit: intensity * stream.uniform(0.7, 1.25) * own[unit]
        + trace * foreign[unit]
        + stream.chance(0.3) * stream.uniform(0.0, 0.2)
        for unit in ACTION_UNITS
    }


def _choose(expressions: np.ndarray, stream: Stream) -> ActionUnits:
    """Return the strengths in one prototype, chosen at random, of each expression."""
    longest = max(len(variants) for variants in PROTOTYPES.values())
    choice = stream.below(6)
    tables = {unit: np.zeros((len(EMOTIONS), 6)) for unit in ACTION_UNITS}
    assert longest <= 3
    for number, emotion in enumerate(EMOTIONS):
        variants = PROTOTYPES[emotion]
        for column in range(6):
            for unit, strength in variants[column % len(variants)].items():
                tables[unit][number, column] = strength
    return {unit: table[expressions, choice].reshape(-1, 1, 1) for unit, table in tables.items()}
