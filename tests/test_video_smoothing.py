"""Smoothing: probabilities stay probabilities, less flickers, changes stay where they are."""

import numpy as np
import pytest

from ferrule.video.smoothing import smooth


def draw(n: int, classes: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.7), n)


def test_it_is_the_mean_of_logarithms_with_weights_that_fall_to_both_sides():
    seconds = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.8, 40))
    probabilities = draw(40)
    weights = np.exp(-np.abs(seconds[:, None] - seconds) / 0.5)
    means = weights @ np.log(np.maximum(probabilities, 1e-6)) / weights.sum(axis=1, keepdims=True)
    expected = np.exp(means) / np.exp(means).sum(axis=1, keepdims=True)
    assert smooth(seconds, probabilities, 0.5) == pytest.approx(expected)


def test_probabilities_stay_probabilities():
    smoothed = smooth(np.arange(50) / 5, np.eye(7)[np.arange(50) % 7], 0.3)
    assert smoothed.sum(axis=1) == pytest.approx(1)
    assert ((smoothed >= 0) & (smoothed <= 1)).all()


def test_what_does_not_change_stays_as_it_is():
    same = np.repeat(draw(1), 20, axis=0)
    assert smooth(np.arange(20) / 5, same, 0.4) == pytest.approx(same)


@pytest.mark.parametrize(("n", "span"), [(20, 0.0), (1, 0.4), (0, 0.4)])
def test_without_a_span_or_without_neighbours_nothing_happens(n, span):
    probabilities = draw(20)[:n]
    assert smooth(np.arange(n) / 5, probabilities, span) is probabilities


def test_the_given_array_is_left_alone():
    probabilities = draw(20)
    before = probabilities.copy()
    smooth(np.arange(20) / 5, probabilities, 0.4)
    assert (probabilities == before).all()


def test_less_flickers_and_a_change_is_neither_early_nor_late():
    rng = np.random.default_rng(2)
    flicker, after = {0.0: 0, 0.3: 0}, []
    for _ in range(50):
        logits = rng.normal(0, 1.3, (40, 7))
        logits[:20, 3] += 2.2
        logits[20:, 5] += 2.2
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for span in flicker:
            named = smooth(np.arange(40) / 5, probabilities, span).argmax(axis=1)
            flicker[span] += int((np.diff(named) != 0).sum()) - 1
        after.append((named == 5).sum())
    assert flicker[0.3] < flicker[0.0] / 5
    assert np.mean(after) == pytest.approx(20, abs=0.5)


def test_far_moments_have_no_say():
    seconds = np.array([0.0, 100.0])
    probabilities = draw(2)
    assert smooth(seconds, probabilities, 0.3) == pytest.approx(probabilities)
