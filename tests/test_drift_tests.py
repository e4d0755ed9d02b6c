"""The tests of drift: effects that are what they say, p-values that keep their word, and nothing seen in trifles."""

import numpy as np
import pandas as pd
import pytest

from ferrule.errors import DataError
from ferrule.holm import holm
from ferrule.monitoring.check import judge
from ferrule.monitoring.drift_tests import (
    VALUES,
    Limits,
    compare_classes,
    compare_embeddings,
    compare_images,
    compare_labelled,
    compare_values,
)

LIMITS = Limits(0.10, 0.12, 0.60, 0.05, 0.05)


def draw(count: int, seed: int | list[int], shift: float = 0.0, dimensions: int = 40) -> pd.DataFrame:
    """Return made-up images whose every number is shifted by `shift` standard deviations."""
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(shift, 1, count) for name in VALUES}
    predicted = rng.choice(["angry", "happy", "sad"], count, p=[0.2, 0.5, 0.3])
    return pd.DataFrame(
        {"predicted": predicted, **values, "embedding": list(rng.normal(shift, 1, (count, dimensions)))}
    )


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 1000])
def test_without_drift_the_tests_of_a_look_raise_false_alarms_at_their_level(size):
    """Of 60 looks at 5 %, 3 are expected; 9 or more would come once in five hundred times."""
    pairs = ((draw(500, [n, 0]), draw(size, [n, 1])) for n in range(60))
    looks = [judge(compare_images(*pair, LIMITS, seed=n), 0.05) for n, pair in enumerate(pairs)]
    assert sum(any(result.significant for result in look) for look in looks) < 9


def test_a_shift_is_seen_in_everything_that_shifted():
    results = judge(compare_images(draw(1000, 0), draw(300, 1, shift=0.5), LIMITS, seed=0), 0.001)
    assert [result.name for result in results if result.drifted] == [*VALUES, "embeddings"]


def test_a_trifle_in_many_images_is_significant_but_no_drift():
    results = judge(compare_images(draw(10000, 0, 0, 1), draw(10000, 1, 0.08, 1), LIMITS, seed=0), 0.001)
    assert {result.name for result in results if result.significant} >= set(VALUES)
    assert not any(result.drifted for result in results)


def test_the_same_seed_gives_the_same_findings():
    first, second = (compare_images(draw(300, 0), draw(200, 1), LIMITS, seed=5) for _ in range(2))
    assert first == second


def test_the_effect_on_classes_is_the_share_that_changed():
    reference = pd.Series(["happy"] * 60 + ["sad"] * 40)
    finding = compare_classes(reference, pd.Series(["happy"] * 20 + ["sad"] * 60 + ["angry"] * 20), 0.1)
    assert finding.effect == pytest.approx(0.4)
    assert finding.p_value < 1e-6


@pytest.mark.parametrize(
    ("reference", "window"),
    [(["happy"] * 50, ["happy"] * 30), (["happy"] * 1000 + ["disgust"], ["happy"] * 100), (["happy"] * 3, ["sad"] * 3)],
)
def test_classes_too_few_to_test_prove_nothing(reference, window):
    assert compare_classes(pd.Series(reference), pd.Series(window), 0.1).p_value == 1.0


def test_rare_classes_do_not_make_a_chi_square_of_tiny_counts():
    """Of a class expected 0.1 times one image proves nothing; without merging, p would be 0.001."""
    reference = pd.Series(["happy"] * 5000 + ["sad"] * 5000 + ["disgust"] * 9)
    assert compare_classes(reference, pd.Series(["happy"] * 50 + ["sad"] * 49 + ["disgust"]), 0.1).p_value > 0.5


def test_the_effect_on_a_number_is_the_largest_gap_between_distributions():
    low, high = pd.Series(np.arange(100.0)), pd.Series(np.arange(30.0, 130.0))
    finding = compare_values("brightness", low, high, 0.1)
    assert (finding.effect, finding.limit) == (pytest.approx(0.3), 0.1)
    assert compare_values("brightness", low, low, 0.1).effect == 0


def test_embeddings_apart_by_a_lot_are_told_apart_nearly_always():
    rng = np.random.default_rng(0)
    reference, far = rng.normal(size=(400, 8)), rng.normal(size=(100, 8)) + 3
    finding = compare_embeddings(reference, far, 0.6, seed=0)
    assert finding.effect > 0.99
    assert finding.p_value < 1e-12


@pytest.mark.parametrize("dimensions", [1, 2, 500])
def test_embeddings_of_any_length_can_be_compared(dimensions):
    """More dimensions than images, one alone, and one that never changes."""
    rng = np.random.default_rng(0)
    reference, window = rng.normal(size=(200, dimensions)), rng.normal(size=(60, dimensions))
    reference[:, 0], window[:, 0] = (0, 0) if dimensions > 1 else (reference[:, 0], window[:, 0])
    assert 0.35 < compare_embeddings(reference, window, 0.6, seed=0).effect < 0.65


def test_embeddings_of_another_model_are_one_sentence():
    with pytest.raises(DataError, match="Expected embeddings of 3 numbers"):
        compare_embeddings(np.zeros((5, 3)), np.zeros((5, 4)), 0.6, seed=0)


def labelled(right: int, wrong: int, confidence: float) -> pd.DataFrame:
    predicted = ["happy"] * right + ["sad"] * wrong
    return pd.DataFrame({"label": "happy", "predicted": predicted, "confidence": confidence})


def test_lost_accuracy_and_empty_confidence_are_found():
    accuracy, calibration = compare_labelled(labelled(800, 200, 0.8), labelled(120, 80, 0.8), LIMITS)
    assert (accuracy.effect, calibration.effect) == (pytest.approx(0.2), pytest.approx(0.2))
    assert accuracy.p_value < 1e-6
    assert calibration.p_value < 1e-6


def test_gained_accuracy_is_no_drift_and_honest_confidence_is_none():
    accuracy, calibration = compare_labelled(labelled(800, 200, 0.8), labelled(180, 20, 0.9), LIMITS)
    assert accuracy.p_value > 0.9
    assert calibration.p_value > 0.9


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.5], [0.5]), ([0.9, 0.6], [1.0, 1.0]), ([1.0, 0.0], [1.0, 0.0])],
)
def test_holm_multiplies_the_smallest_by_all_and_the_next_by_those_left(p_values, adjusted):
    assert holm(np.array(p_values)) == pytest.approx(adjusted)
