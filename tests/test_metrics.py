"""Scores against scikit-learn, and their intervals against simulations in which the truth is known."""

import json
import time

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from scipy.stats import binomtest

from ferrule.emotions import EMOTIONS, FERPLUS_VOTES
from ferrule.errors import DataError
from ferrule.metrics import (
    calibration_error,
    calibration_table,
    confusion_matrix,
    f1,
    ferplus_majority,
    find_leak_free,
    score,
    score_ferplus,
    wilson,
)

SETTINGS = {"bootstrap": 400, "bins": 10, "seed": 3}


def draw(n, *, classes=4, sharpness=1.0, seed=0):
    """Draw labels and probabilities of a model that is right as often as it says, if its `sharpness` is 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, classes)) * 1.5 + np.linspace(1, -1, classes)
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (truth.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=classes - 1)
    told = np.exp(sharpness * logits)
    return labels, (told / told.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", lambda y, p: sklearn.metrics.accuracy_score(y, p.argmax(1))),
        ("balanced_accuracy", lambda y, p: sklearn.metrics.balanced_accuracy_score(y, p.argmax(1))),
        ("macro_f1", lambda y, p: sklearn.metrics.f1_score(y, p.argmax(1), average="macro")),
        ("log_loss", lambda y, p: sklearn.metrics.log_loss(y, p / p.sum(axis=1, keepdims=True, dtype=float))),
        ("brier", lambda y, p: np.square(np.eye(p.shape[1])[y] - p).sum(axis=1).mean()),
    ],
)
@pytest.mark.parametrize("n", [9, 300])
def test_values_are_those_of_scikit_learn(name, expected, n):
    labels, probabilities = draw(n, seed=n)
    result = score(labels, probabilities, EMOTIONS[:4], **SETTINGS)[name]
    assert result["value"] == pytest.approx(expected(labels, probabilities), abs=2e-6)
    assert result["low"] <= result["value"] <= result["high"]


def test_scores_of_a_class_are_those_of_scikit_learn():
    labels, probabilities = draw(500)
    predicted = probabilities.argmax(axis=1)
    result = score(labels, probabilities, EMOTIONS[:4], **SETTINGS)["classes"]
    assert list(result) == list(EMOTIONS[:4])
    expected = sklearn.metrics.precision_recall_fscore_support(labels, predicted)
    for number, of_class in enumerate(result.values()):
        assert of_class["rows"] == expected[3][number]
        for name, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
            assert of_class[name]["value"] == pytest.approx(values[number], abs=1e-6)
            assert of_class[name]["low"] < of_class[name]["value"] < of_class[name]["high"]
    assert (confusion_matrix(labels, predicted, 4) == sklearn.metrics.confusion_matrix(labels, predicted)).all()


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 40), (7, 55), (500, 1000), (3589, 3589)])
def test_wilson_is_that_of_scipy(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((successes / trials, expected.low, expected.high), abs=1e-6)


def test_nothing_of_nothing_is_known_to_be_unknown():
    assert wilson(0, 0) == (0, 0, 1)
    labels, probabilities = np.array([0, 0, 1]), np.eye(3, dtype=np.float32)[[0, 0, 1]]
    result = score(labels, probabilities, EMOTIONS[:3], **SETTINGS)
    assert result["classes"]["fear"]["recall"] == {"value": 0, "low": 0, "high": 1}
    assert result["balanced_accuracy"]["value"] == result["macro_f1"]["value"] == 1  # of the classes that occur
    json.dumps(result, allow_nan=False)


def share_that_holds(truth, estimates):
    return np.mean([estimate.low <= truth <= estimate.high for estimate in estimates])


@pytest.mark.parametrize(("recall", "precision"), [(0.2, 0.5), (0.7, 0.6), (0.95, 0.9)])
def test_the_interval_of_f1_holds_the_truth_in_19_of_20_cases(recall, precision):
    n, share = 600, 0.1
    false_alarms = share * recall * (1 - precision) / precision
    cells = [share * recall, share * (1 - recall), false_alarms, 1 - share - false_alarms]
    truth = 2 * recall * precision / (recall + precision)
    samples = np.random.default_rng(0).multinomial(n, cells, 2000)
    assert 0.93 < share_that_holds(truth, [f1(hits, missed + false) for hits, missed, false, _ in samples]) < 0.975


def test_bootstrap_intervals_hold_the_truth_in_about_19_of_20_cases():
    names = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier")
    settings = {"bins": 10, "seed": 0}
    labels, probabilities = draw(400_000, seed=1)
    truth = score(labels, probabilities, EMOTIONS[:4], bootstrap=2, **settings)
    held = dict.fromkeys(names, 0)
    for start in range(0, 200 * 500, 500):
        rows = slice(start, start + 500)
        result = score(labels[rows], probabilities[rows], EMOTIONS[:4], bootstrap=300, **settings)
        for name in names:
            held[name] += result[name]["low"] <= truth[name]["value"] <= result[name]["high"]
    assert all(0.90 <= count / 200 <= 0.99 for count in held.values()), held


@pytest.mark.parametrize("sharpness", [0.7, 1.0, 1.2, 2.0])
def test_the_interval_of_the_calibration_error_holds_the_truth_though_its_estimate_is_biased(sharpness):
    labels, probabilities = draw(600_000, sharpness=sharpness, seed=1)
    truth = calibration_error(labels, probabilities, bins=15, draws=10, seed=0).value
    estimates = [
        calibration_error(labels[start : start + 1000], probabilities[start : start + 1000], bins=15, draws=400, seed=0)
        for start in range(0, 150_000, 1000)
    ]
    assert share_that_holds(truth, estimates) > 0.9
    if sharpness == 1.0:
        assert np.mean([estimate.value > 10 * truth for estimate in estimates]) > 0.9  # the bias in question
    if sharpness == 2.0:
        assert min(estimate.low for estimate in estimates) > 0.05  # and it can tell a model that is badly off


def test_the_calibration_error_of_a_model_that_knows_no_doubt():
    labels = np.arange(100) % 2
    sure = np.tile(np.float32([1, 0]), (100, 1))
    assert calibration_error(labels, sure, bins=10, draws=100, seed=0).value == pytest.approx(0.5)
    assert calibration_error(labels * 0, sure, bins=10, draws=100, seed=0) == (0, 0, 0)


def test_the_reliability_table_has_bins_of_equal_mass_and_each_row_once():
    labels, probabilities = draw(1000)
    table = calibration_table(labels, probabilities, bins=10)
    assert list(table.columns) == ["count", "confidence", "accuracy", "low", "high"]
    assert table["count"].tolist() == [100] * 10
    assert table["confidence"].is_monotonic_increasing
    assert np.average(table["accuracy"], weights=table["count"]) == (probabilities.argmax(1) == labels).mean()
    gap = np.average((table["accuracy"] - table["confidence"]).abs(), weights=table["count"])
    assert gap == pytest.approx(calibration_error(labels, probabilities, bins=10, draws=10, seed=0).value)
    tied = np.tile(np.float32([0.6, 0.4]), (50, 1))
    assert calibration_table(np.zeros(50, int), tied, bins=10)["count"].tolist() == [50]


def test_scores_depend_on_the_seed_alone_and_not_on_the_order_of_rows():
    labels, probabilities = draw(300)
    order = np.random.default_rng(0).permutation(300)
    first = score(labels, probabilities, EMOTIONS[:4], **SETTINGS)
    assert score(labels, probabilities, EMOTIONS[:4], **SETTINGS) == first
    shuffled = score(labels[order], probabilities[order], EMOTIONS[:4], **SETTINGS)
    assert shuffled["macro_f1"] == first["macro_f1"]
    assert shuffled["ece"] == first["ece"]
    assert score(labels, probabilities, EMOTIONS[:4], **{**SETTINGS, "seed": 4})["brier"] != first["brier"]


@pytest.mark.parametrize("shape", [(0, 4), (5, 3), (4, 4)])
def test_what_cannot_be_scored_is_said(shape):
    labels = np.zeros(0 if shape[0] == 0 else 5, int)
    with pytest.raises(DataError, match="score a split that has rows"):
        score(labels, np.zeros(shape, np.float32), EMOTIONS[:4], **SETTINGS)


@pytest.mark.parametrize("twins", ["drop", "keep"])
def test_leak_free_is_the_same_whether_copies_are_dropped_or_kept(twins):
    table = pd.DataFrame(
        [
            # group, split, expected
            (0, "train", False),
            (1, "test", True),
            (2, "train*", False),  # a copy of the next
            (2, "test", False),
            (3, "val*", False),
            (3, "test", False),
            (4, "test", True),
            (4, "test", True),
            (5, "unlabelled", False),  # nothing was learnt from it
            (5, "test", True),
        ],
        columns=["group_id", "split", "expected"],
    )
    copies = table["split"].str.endswith("*")
    kept = table["split"].str.rstrip("*")
    table["split"] = kept.mask(copies, "dropped") if twins == "drop" else kept
    assert find_leak_free(table).tolist() == table["expected"].tolist()


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ({"anger": 6, "fear": 4}, "angry"),
        ({"anger": 5, "fear": 5}, None),  # no majority
        ({"anger": 4, "fear": 3, "sadness": 3}, None),  # the most, but not most of them
        ({"happiness": 10}, "happy"),
        ({"contempt": 9, "neutral": 1}, None),  # no class of FER
        ({"unknown": 7}, None),
        ({"NF": 10}, None),
        ({"surprise": 10}, None),  # not among the model's classes
        ({}, None),
    ],
)
def test_the_majority_of_ferplus(votes, expected):
    classes = ("angry", "fear", "happy", "sad", "neutral")
    table = pd.DataFrame([{f"votes_{name}": votes.get(name, 0) for name in FERPLUS_VOTES}]).astype("uint8")
    assert ferplus_majority(table, classes).tolist() == [classes.index(expected) if expected else -1]


def test_agreement_with_ferplus_counts_rows_with_a_majority():
    result = score_ferplus(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 0]), np.array([0, 2, 1, -1]))
    assert (result["rows"], result["agreement"]["value"]) == (3, pytest.approx(2 / 3, abs=1e-6))
    assert result["label_agreement"]["value"] == pytest.approx(1 / 3, abs=1e-6)


def test_two_thousand_resamples_of_a_real_test_split_take_about_a_second():
    labels, probabilities = draw(3589, classes=7)
    start = time.perf_counter()
    score(labels, probabilities, EMOTIONS, bootstrap=2000, bins=15, seed=0)
    assert time.perf_counter() - start < 3
