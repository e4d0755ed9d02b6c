"""The paired statistics: held to SciPy, statsmodels' published example, and to what simulation says they promise."""

import numpy as np
import pytest
from scipy.stats import binomtest

from ferrule.holm import holm
from ferrule.metrics import score
from ferrule.promotion.comparison import Said, compare, mcnemar, not_inferior

CLASSES = ("angry", "happy", "sad")


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (1, 0), (0, 5), (15, 5), (260, 190), (190, 260)])
def test_mcnemar_is_the_binomial_test(won, lost):
    expected = binomtest(won, won + lost, 0.5, alternative="greater").pvalue if won + lost else 1.0
    assert mcnemar(won, lost) == pytest.approx(expected)


def test_non_inferiority_at_no_margin_is_the_score_test_of_mcnemar():
    from scipy.stats import norm

    assert not_inferior(15, 5, 100, 0.0) == pytest.approx(norm.sf(10 / np.sqrt(20)))
    assert not_inferior(0, 0, 100, 0.0) == pytest.approx(0.5)


def test_non_inferiority_agrees_with_the_example_of_tango_1998():
    """Two soft-lens disinfection systems: 43 of 44 pairs right with both, one with the standard alone, margin 0.1."""
    assert not_inferior(0, 1, 44, 0.1) == pytest.approx(0.0441, abs=5e-4)  # z = 1.709


@pytest.mark.parametrize(("margin", "shift"), [(0.01, -0.01), (0.05, -0.05)])
def test_non_inferiority_keeps_its_level_at_the_margin(margin, shift):
    rows, discordant = 3589, 0.12
    shares = [discordant / 2 + shift / 2, discordant / 2 - shift / 2, 1 - discordant]
    drawn = np.random.default_rng(0).multinomial(rows, shares, size=40_000)
    rate = (not_inferior(drawn[:, 0], drawn[:, 1], rows, margin) <= 0.05).mean()
    assert rate == pytest.approx(0.05, abs=0.005)


def test_holm_adjusts_as_published():
    p = np.array([[0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.001, 0.9]])
    np.testing.assert_allclose(holm(p), [[0.03, 0.06, 0.06, 0.02], [1.0, 1.0, 0.004, 1.0]])


def draw(rows=1500, gain=0.0, seed=0):
    """Draw two models that see the same images, each through noise of its own."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, rows, p=[0.1, 0.5, 0.4])
    shared = 1.2 * np.eye(3)[labels] + rng.normal(0, 1, (rows, 3))
    logits = [shared + extra * np.eye(3)[labels] + rng.normal(0, 0.4, (rows, 3)) for extra in (gain, 0.0)]
    shares = [np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in logits]
    return Said(labels, *(each.argmax(axis=1) for each in shares), *shares, CLASSES)


def test_the_scores_are_those_of_evaluate():
    said = draw()
    found = compare(said, draws=100, bins=10, seed=1)
    for model, shares in (("challenger", said.challenger_probabilities), ("champion", said.champion_probabilities)):
        expected = score(said.labels, shares, CLASSES, bootstrap=100, bins=10, seed=1)
        for name, each in found.scores.items():
            assert getattr(each, model) == pytest.approx(expected[name]["value"], abs=1e-4), name
        for name, each in found.recalls.items():
            assert getattr(each, model) == pytest.approx(expected["classes"][name]["recall"]["value"], abs=1e-6)
    assert found.scores["accuracy"].gain == pytest.approx((found.won - found.lost) / found.images)


def test_intervals_hold_the_true_difference_and_the_same_seed_gives_the_same():
    truth = compare(draw(200_000, 0.2, seed=99), draws=2, bins=10, seed=1).scores
    held = dict.fromkeys(truth, 0)
    for seed in range(60):
        found = compare(draw(gain=0.2, seed=seed), draws=200, bins=10, seed=seed).scores
        for name, each in found.items():
            held[name] += each.low <= truth[name].gain <= each.high
    assert held.pop("ece") >= 42, held  # 70 %: its interval is approximate
    assert all(count >= 50 for count in held.values()), held
    assert compare(draw(), draws=50, bins=5, seed=1) == compare(draw(), draws=50, bins=5, seed=1)
    assert compare(draw(), draws=50, bins=5, seed=1) != compare(draw(), draws=50, bins=5, seed=2)


def test_equal_models_are_seldom_found_worse():
    worse = 0
    for seed in range(100):
        found = compare(draw(400, seed=seed), draws=200, bins=10, seed=seed)
        scores = [*found.scores.values(), *found.recalls.values()]
        worse += any(each.p_worse <= 0.05 for each in scores if each is not found.scores["accuracy"])
    assert worse <= 11  # 5 expected at most; more than 11 has a chance of 0.4 %


def test_a_model_that_is_worse_at_everything_is_found_so():
    found = compare(draw(gain=-0.6), draws=400, bins=10, seed=1)
    assert found.p_better > 0.999
    assert found.scores["macro_f1"].p_worse < 0.05
    assert found.scores["log_loss"].p_worse < 0.05
    assert found.recalls["happy"].p_worse < 0.05
    assert not_inferior(found.won, found.lost, found.images, 0.01) > 0.5


def test_a_class_that_does_not_occur_has_no_recall():
    said = draw(200)
    labels = np.where(said.labels == 0, 1, said.labels)
    found = compare(Said(labels, *list(vars(said).values())[1:]), draws=50, bins=5, seed=1)
    assert set(found.recalls) == {"happy", "sad"}
    assert np.isfinite(found.scores["macro_f1"].low)
