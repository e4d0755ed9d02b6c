"""Temperature scaling: what is known is found again, confidences become honest, predictions stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ferrule.calibration import RANGE, apply_temperature, fit_temperature
from ferrule.errors import DataError
from ferrule.metrics import calibration_error


def softmax(logits):
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def draw_calibrated(rows=20_000, classes=7, seed=0):
    """Return labels drawn from probabilities, and the logits of these: what is calibrated has temperature 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (rows, classes))
    drawn = softmax(logits).cumsum(axis=1) > rng.random((rows, 1))
    return drawn.argmax(axis=1), logits


def ece(labels, probabilities):
    return calibration_error(labels, probabilities, bins=15, draws=100, seed=0).value


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.7, 4.0])
def test_a_known_temperature_is_found_again(temperature):
    labels, logits = draw_calibrated()
    assert fit_temperature(labels, softmax(logits * temperature)) == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("temperature", [0.5, 2.5])
def test_confidences_become_honest_on_images_it_was_not_fitted_on(temperature):
    labels, logits = draw_calibrated()
    probabilities = softmax(logits * temperature)
    fitted = fit_temperature(labels[:5000], probabilities[:5000])
    before = ece(labels[5000:], probabilities[5000:])
    after = ece(labels[5000:], apply_temperature(probabilities[5000:], fitted))
    assert before > 0.05
    assert after < 0.015


def test_temperature_1_changes_nothing():
    _, logits = draw_calibrated(rows=100)
    np.testing.assert_allclose(apply_temperature(softmax(logits), 1.0), softmax(logits), atol=1e-11)


@given(
    arrays(np.float32, (5, 4), elements=st.floats(0, 1, width=32)).filter(lambda drawn: (drawn.sum(axis=1) > 0).all()),
    st.floats(*RANGE),
)
def test_no_prediction_changes_and_rows_still_sum_to_1(drawn, temperature):
    probabilities = drawn / drawn.sum(axis=1, keepdims=True)
    scaled = apply_temperature(probabilities, temperature)
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    np.testing.assert_allclose(scaled.sum(axis=1), 1, atol=1e-12)


def test_above_1_takes_confidence_away_and_below_1_adds_it():
    probabilities = np.array([[0.7, 0.2, 0.1]])
    assert apply_temperature(probabilities, 2.0).max() < 0.7 < apply_temperature(probabilities, 0.5).max()


def test_a_probability_of_0_for_the_label_is_no_infinity():
    labels, sure = np.array([0, 1, 1]), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert 1 < fit_temperature(labels, sure) <= RANGE[1]
    assert np.isfinite(apply_temperature(sure, 3.0)).all()


def test_no_rows_are_scaled_to_no_rows():
    assert apply_temperature(np.empty((0, 7), np.float32), 2.0).shape == (0, 7)


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [([], np.empty((0, 3))), ([0, 1], np.full((3, 2), 0.5)), ([0], np.array([0.5]))],
)
def test_what_cannot_be_fitted_is_one_sentence(labels, probabilities):
    with pytest.raises(DataError, match=r"Expected labels .*; got .*; fit the temperature"):
        fit_temperature(np.array(labels, dtype=int), probabilities)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_an_impossible_temperature_is_refused(temperature):
    with pytest.raises(DataError, match="above 0"):
        apply_temperature(np.array([[0.5, 0.5]]), temperature)
