"""The benchmark of abstention: rules on labels drawn from the probabilities themselves, where each can be foretold."""

import numpy as np

from bench.abstention import HEAD, list_rules, measure, reach_target, try_rule
from pipelines.sections import Scoring

SETTINGS = Scoring(abstain_accuracy=0.8, abstain_certainty=0.95, chunk_images=500)


def draw_calibrated(rows, seed):
    """Return labels that are as likely as the probabilities beside them say."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.3] * 4, rows)
    return (probabilities.cumsum(axis=1) < rng.random(rows)[:, np.newaxis]).sum(axis=1).clip(max=3), probabilities


def test_the_bound_answers_less_than_the_target_itself_and_misses_it_seldom():
    labels, probabilities = draw_calibrated(4000, 1)
    lines = measure(labels, probabilities, SETTINGS, halves=40).splitlines()
    assert lines[0] == f"| {' | '.join(HEAD)} |"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in rows] == list(list_rules(SETTINGS))
    answered, right, below = ([float(row[at].removeprefix("in ").split("%")[0]) for row in rows] for at in (1, 2, 3))
    assert answered[0] == 100
    assert answered[1] > answered[2] > answered[3]
    assert right[0] < right[1] < right[2] < right[3]
    assert below[0] == 100
    assert 20 < below[1] < 80
    assert below[2] <= 5


def test_a_target_out_of_reach_answers_nothing():
    labels, probabilities = np.zeros(20, int), np.tile([0.4, 0.6], (20, 1))
    assert reach_target(labels, probabilities, 0.8) is None
    fitted = np.arange(20) < 10
    assert try_rule(lambda *_: None, labels, probabilities, fitted) == (0.0, None)
