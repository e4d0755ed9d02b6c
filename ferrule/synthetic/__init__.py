"""The embedded sample: some 3,500 grey faces, 48 × 48 pixels, drawn by arithmetic alone, as a fer2013.csv.

Faces are ellipsoids under a lamp. FACS action units move brows, lids, cheeks, nose and mouth as each expression does;
person, pose, light, backdrop, grain and what hides the face are drawn at random, and some expressions are faint or
mixed. Like FER-2013 it is unbalanced and has copies across splits, wrong labels and blank images; unlike it, each of
them is known (`fault`, `copy_of`), so a test can tell whether a guard found all of them.

The file is the same to the byte on every machine, because its hash stands in git: only operations that IEEE 754 fixes
are used (+, -, *, / and square root, a pixel at a time; no exp, no sine, no matrix product, no sum of floats), on
random numbers that NumPy has promised never to change.
"""

from ferrule.synthetic.faults import BLANK, CONFLICT, EXACT_COPY, FAINT, MALFORMED, NEAR_COPY, WRONG_LABEL
from ferrule.synthetic.portrait import paint_portraits
from ferrule.synthetic.sample import COUNTS, SEED, draw_sample, write_sample

__all__ = [
    "BLANK",
    "CONFLICT",
    "COUNTS",
    "EXACT_COPY",
    "FAINT",
    "MALFORMED",
    "NEAR_COPY",
    "SEED",
    "WRONG_LABEL",
    "draw_sample",
    "paint_portraits",
    "write_sample",
]
