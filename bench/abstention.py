"""What rules of abstention promise, and what they keep, on FER-2013 and the model that ships.

    python -m bench.abstention --write docs/scoring.md

Needs the stage ingest on FER-2013. The model was not trained on PublicTest: again and again temperature and threshold
are fitted on one random half of it, and the other half tells what came of it. No image of PrivateTest is looked at.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench.data import select_usage
from bench.tables import show_tables
from ferrule.calibration import apply_temperature, fit_temperature
from ferrule.documents import write_table
from ferrule.emotions import class_ids
from ferrule.portable.model import open_pretrained
from ferrule.samples import load_samples
from ferrule.scoring.abstention import answer_above, choose_threshold, risk_coverage
from pipelines.params import load_params
from pipelines.sections import Scoring

HALVES = 200
HEAD = ("rule, fitted on one half", "answered of the other", "accuracy of the answers", "below the target")

_SEED = 2013

# Labels (n,) and calibrated probabilities (n, k) to a threshold on confidence; None answers nothing.
Rule = Callable[[np.ndarray, np.ndarray], float | None]


def main() -> int:
    """Print the table, or write it; return the exit status."""
    return show_tables("abstention", "docs/scoring.md", __doc__, measure_project)


def measure_project(root: Path) -> str:
    """Return the table for the images of the project in `root`."""
    public, model = select_usage(load_samples(root / "artifacts" / "ingest"), "PublicTest"), open_pretrained()
    labels = np.array(class_ids(public.table["label"], model.classes))
    return measure(labels, model.probabilities(public.images), load_params(Path()).scoring)


def measure(labels: np.ndarray, probabilities: np.ndarray, settings: Scoring, *, halves: int = HALVES) -> str:
    """Return what each rule comes to, on average over random halves, as a Markdown table.

    `labels` are class ids (n,); `probabilities` (n, k) may have a temperature already, as temperatures multiply.
    """
    rng, rows = np.random.default_rng(_SEED), []
    fitted = [rng.permutation(len(labels)) < len(labels) // 2 for _ in range(halves)]
    for name, rule in list_rules(settings).items():
        found = np.array([try_rule(rule, labels, probabilities, half) for half in fitted], dtype=float)
        coverage, accuracy = np.nanmean(found, axis=0)
        below = np.mean(found[:, 1] < settings.abstain_accuracy)
        rows.append((name, f"{coverage:.1%}", f"{accuracy:.1%}", f"in {below:.1%} of the halves"))
    return write_table(HEAD, rows)


def list_rules(settings: Scoring) -> dict[str, Rule]:
    """Return the rules to compare: none at all, the one that suggests itself, Ferrule's, and one without labels."""
    target, certainty = settings.abstain_accuracy, settings.abstain_certainty
    return {
        "every image answered": lambda *_: 0.0,
        f"accuracy itself at {target:.0%}": partial(reach_target, target=target),
        f"lower bound at {target:.0%}": lambda labels, shares: (
            choose_threshold(labels, shares, target, certainty=certainty).threshold
        ),
        f"confidence itself at {target:.0%}": lambda *_: target,
    }


def reach_target(labels: np.ndarray, probabilities: np.ndarray, target: float) -> float | None:
    """Return the threshold that answers most images with an accuracy of `target` on these, or None without one."""
    curve = risk_coverage(labels, probabilities)
    reached = curve["threshold"][curve["accuracy"] >= target]
    return None if reached.empty else reached.min()


def try_rule(
    rule: Rule, labels: np.ndarray, probabilities: np.ndarray, fitted: np.ndarray
) -> tuple[float, float | None]:
    """Return coverage, and accuracy of the answers (None without any), on the images not `fitted` on, bool (n,)."""
    calibrated = apply_temperature(probabilities, fit_temperature(labels[fitted], probabilities[fitted]))
    threshold = rule(labels[fitted], calibrated[fitted])
    told = answer_above(labels[~fitted], calibrated[~fitted], np.inf if threshold is None else threshold)
    return float(told["coverage"] or 0), told["accuracy"]


if __name__ == "__main__":
    sys.exit(main())
