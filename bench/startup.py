"""How long `ferrule --help` takes, beside Python that does nothing and beside other command lines."""

import statistics

from bench.rows import ROOT, Row, Setup, alternate, compare, seconds
from bench.workflow import run

RUNS = 10
PYTHON = ("python", "-c", "pass")
OTHERS = (PYTHON, ("dvc", "--version"), ("prefect", "--version"))


def measure(setup: Setup, *, others: tuple[tuple[str, ...], ...] = OTHERS) -> list[Row]:
    """Return a row for each other command."""

    def time(*command: str) -> float:
        return seconds(lambda: run(ROOT, *command))

    limit = statistics.median(time(*PYTHON) for _ in range(setup.runs + 1))
    rows = []
    for other in others:
        pairs = alternate(lambda: time("ferrule", "--help"), lambda: time(*other), setup.runs)  # noqa: B023
        rows.append(compare("ferrule --help", " ".join(other), "s", pairs, limit=limit, limit_is="starting Python"))
    return rows
