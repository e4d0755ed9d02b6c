"""How long `ferrule --help` and a first prediction take, beside doing nothing, other command lines, and TensorFlow."""

import statistics

from bench.rows import ROOT, Row, Setup, alternate, compare, seconds
from bench.workflow import run

RUNS = 10
PYTHON = ("python", "-c", "pass")
FACE = "np.full((1, 48, 48), 128, np.uint8)"
FIRST = f"import numpy as np; from ferrule import Predictor; Predictor('pretrained').predict_crops({FACE})"
PAIRS = {  # by what ours is called: ours, and what it stands beside
    "ferrule --help": (("ferrule", "--help"), (PYTHON, ("dvc", "--version"), ("prefect", "--version"))),
    "first prediction": (("python", "-c", FIRST), (("python", "-c", "import tensorflow"),)),
}


def measure(setup: Setup) -> list[Row]:
    """Return a row for each command of ours and each that it stands beside."""

    def time(*command: str) -> float:
        return seconds(lambda: run(ROOT, *command))

    limit = statistics.median(time(*PYTHON) for _ in range(setup.runs + 1))
    rows = []
    for name, (ours, others) in PAIRS.items():
        for other in others:
            pairs = alternate(lambda: time(*ours), lambda: time(*other), setup.runs)  # noqa: B023
            rows.append(compare(name, " ".join(other), "s", pairs, limit=limit, limit_is="starting Python"))
    return rows
