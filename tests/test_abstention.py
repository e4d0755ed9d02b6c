"""When a model says nothing: the curve, the threshold, and whether its promise holds on images it was not chosen on."""

import numpy as np
import pytest

from ferrule.errors import DataError
from ferrule.scoring.abstention import (
    TARGETS,
    Abstention,
    answer_above,
    choose_threshold,
    risk_coverage,
    tabulate_abstention,
    tabulate_curve,
)

TARGET = 0.8


def draw(rng, n):
    """Draw labels and two-class probabilities of a calibrated model: right as often as it is confident."""
    confidence = 1 - 0.5 * rng.beta(1, 1.5, n)
    right = rng.random(n) < confidence
    return np.where(right, 0, 1), np.column_stack([confidence, 1 - confidence])


def true_accuracy(threshold):
    """Return the accuracy of that model's answers: its mean confidence at or above the threshold."""
    x = np.linspace(0, 2 * (1 - threshold), 10_001)[1:-1]  # of Beta(1, 1.5), whose density goes with (1 - x)^0.5
    return np.average(1 - 0.5 * x, weights=np.sqrt(1 - x))


def test_the_curve_counts_answers_and_right_ones():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.6, 0.4]])
    curve = risk_coverage(np.array([0, 0, 1, 0]), probabilities)
    assert curve["threshold"].tolist() == [0.9, 0.8, 0.6]  # equal confidences are one threshold
    assert curve["answered"].tolist() == [1, 2, 4]
    assert curve["correct"].tolist() == [1, 2, 3]
    assert curve["coverage"].tolist() == [0.25, 0.5, 1.0]
    assert curve["accuracy"].tolist() == [1.0, 1.0, 0.75]


def test_what_is_said_of_the_threshold_is_so():
    labels, probabilities = draw(np.random.default_rng(1), 2000)
    chosen = choose_threshold(labels, probabilities, TARGET)
    answered = ~chosen.abstains(probabilities.max(axis=1))
    assert answered.mean() == pytest.approx(chosen.coverage)
    assert (labels[answered] == 0).mean() == pytest.approx(chosen.accuracy)
    assert TARGET <= chosen.lower < chosen.accuracy
    assert 0.3 < chosen.coverage < 1


def test_the_promise_holds_where_the_plain_rule_breaks_it():
    """Of 200 validation sets, at most 5 % may give a threshold whose true accuracy is below the target."""
    rng, broken, plain_broken, coverages = np.random.default_rng(2), 0, 0, []
    for _ in range(200):
        labels, probabilities = draw(rng, 1500)
        chosen = choose_threshold(labels, probabilities, 0.85, certainty=0.95)
        curve = risk_coverage(labels, probabilities)
        plain = curve[curve["accuracy"] >= 0.85].iloc[-1]
        broken += true_accuracy(chosen.threshold) < 0.85
        plain_broken += true_accuracy(plain["threshold"]) < 0.85
        coverages.append(chosen.coverage)
    assert broken <= 10
    assert plain_broken > 60
    assert np.mean(coverages) > 0.5


def test_a_higher_target_answers_less():
    labels, probabilities = draw(np.random.default_rng(3), 3000)
    coverages = [choose_threshold(labels, probabilities, target).coverage for target in (0.75, 0.8, 0.85, 0.9)]
    assert coverages == sorted(coverages, reverse=True)
    assert len(set(coverages)) == 4


def test_more_images_need_less_reserve():
    few, many = (choose_threshold(*draw(np.random.default_rng(4), n), 0.85) for n in (300, 30_000))
    assert few.threshold > many.threshold
    assert many.accuracy - 0.85 < 0.01


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        (np.ones(500, int), 0.5),  # always wrong
        (np.zeros(5, int), 0.9),  # always right, but five images show nothing
        (np.array([1]), 0.5),
    ],
)
def test_a_target_out_of_reach_is_said_and_nothing_is_answered(labels, target):
    confidence = np.linspace(0.6, 0.99, len(labels))
    chosen = choose_threshold(labels, np.column_stack([confidence, 1 - confidence]), target)
    assert chosen == Abstention(target, None)
    assert chosen.abstains(np.array([0.5, 1.0])).all()


def test_a_model_that_is_always_right_answers_everything():
    confidence = np.linspace(0.6, 0.99, 500)
    chosen = choose_threshold(np.zeros(500, int), np.column_stack([confidence, 1 - confidence]), 0.9)
    assert chosen.coverage == 1
    assert chosen.threshold == pytest.approx(0.6)


def test_the_table_has_the_rule_of_each_target():
    labels, probabilities = draw(np.random.default_rng(5), 2000)
    table = tabulate_abstention(labels, probabilities)
    assert [row["target"] for row in table] == list(TARGETS)
    assert Abstention(**table[30]) == choose_threshold(labels, probabilities, 0.8)
    assert table[0]["coverage"] == 1
    assert table[-1] == {"target": 0.99, "threshold": None, "coverage": None, "accuracy": None, "lower": None}
    stricter = tabulate_abstention(labels, probabilities, certainty=0.999)
    assert stricter[30]["threshold"] > table[30]["threshold"]


@pytest.mark.parametrize(("rows", "points", "expected"), [(2000, 100, 100), (7, 100, 7), (2000, 10, 10), (1, 100, 1)])
def test_the_drawn_curve_is_part_of_the_whole_and_ends_where_all_is_answered(rows, points, expected):
    labels, probabilities = draw(np.random.default_rng(6), rows)
    curve = tabulate_curve(labels, probabilities, points)
    assert len(curve) == expected
    whole = {
        tuple(row) for row in risk_coverage(labels, probabilities)[["coverage", "accuracy", "threshold"]].to_numpy()
    }
    assert {tuple(point.values()) for point in curve} <= whole
    assert curve[-1]["coverage"] == 1
    coverages = [point["coverage"] for point in curve]
    assert coverages == sorted(coverages)


def test_a_threshold_tells_what_it_gives_on_other_images():
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.6, 0.4]])
    labels = np.array([0, 0, 1, 0])
    assert answer_above(labels, probabilities, 0.6) == {"rows": 4, "coverage": 1.0, "accuracy": 0.75}
    assert answer_above(labels, probabilities, 0.8) == {"rows": 4, "coverage": 0.5, "accuracy": 1.0}
    assert answer_above(labels, probabilities, np.inf) == {"rows": 4, "coverage": 0.0, "accuracy": None}


def test_shapes_that_disagree_are_one_sentence():
    with pytest.raises(DataError, match="choose the threshold on a split that has rows"):
        risk_coverage(np.zeros(0, int), np.empty((0, 2)))
    with pytest.raises(DataError):
        choose_threshold(np.zeros(3, int), np.full((2, 2), 0.5), 0.8)
