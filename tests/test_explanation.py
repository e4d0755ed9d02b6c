"""Explanations: the map is the network's own sum taken apart, and is drawn so that for and against are told apart."""

import numpy as np
import pytest

from bench.explanation import delete
from ferrule.answers import Answer
from ferrule.emotions import EMOTIONS
from ferrule.errors import DataError
from ferrule.explanation import AGAINST, FOR, draw_explanations, explain, measure_parts, overlay
from ferrule.portable.model import open_pretrained
from ferrule.synthetic import paint_portraits


@pytest.fixture(scope="module")
def model():
    return open_pretrained()


@pytest.fixture(scope="module")
def crops():
    return paint_portraits(np.arange(7), 3)


class Bright:
    """A model that takes a crop for happy by how bright its upper left sixth is, and knows nothing else."""

    classes = ("happy", "sad")

    def probabilities(self, images):
        happy = images[:, :8, :8].mean(axis=(1, 2)) / 255 * 0.9 + 0.05
        return np.stack([happy, 1 - happy], axis=1)


def test_the_map_finds_the_part_that_decides():
    crop = np.full((48, 48), 40, np.uint8)
    crop[:8, :8] = 255
    parts = measure_parts(Bright(), crop)
    assert np.unravel_index(parts.argmax(), parts.shape) == (0, 0)
    assert parts[0, 0] > 1
    assert np.abs(parts[3:, 3:]).max() < 0.05
    np.testing.assert_allclose(measure_parts(Bright(), crop, "sad"), -parts, atol=1e-5)


def test_a_map_is_scaled_and_of_the_class_that_is_asked_for(model, crops):
    said = EMOTIONS[int(model.probabilities(crops[3:4])[0].argmax())]
    heat = explain(model, crops[3])
    assert heat.shape == (48, 48)
    assert heat.dtype == np.float32
    assert np.abs(heat).max() == pytest.approx(1)
    assert (heat == explain(model, crops[3], said)).all()
    other = next(name for name in EMOTIONS if name != said)
    assert not np.allclose(heat, explain(model, crops[3], other))


def test_covering_what_speaks_most_for_it_lowers_the_probability(model, crops):
    """Of drawn faces; of FER-2013's faces docs/predict.md has the figures."""
    before, after = [], []
    for crop in crops:
        heat = explain(model, crop)
        hidden = np.where(heat > np.quantile(heat, 0.9), crop.mean(), crop).astype(np.uint8)
        shares = model.probabilities(np.stack([crop, hidden]))
        before.append(shares[0].max())
        after.append(shares[1, shares[0].argmax()])
    assert np.mean(after) < np.mean(before) - 0.1


def test_the_deletion_test_tells_a_good_map_from_a_bad_one():
    crops = np.full((2, 48, 48), 40, np.uint8)
    crops[:, :8, :8] = 255
    good = np.stack([explain(Bright(), crop) for crop in crops])
    happy = np.zeros(2, int)
    assert delete(Bright(), crops, happy, good)[1] < 0.5
    assert delete(Bright(), crops, happy, -good)[1] == pytest.approx(0.95, abs=0.01)


def test_a_label_that_is_no_class_is_one_sentence(model, crops):
    with pytest.raises(DataError, match=r"Expected a class among .*; got 'joy'"):
        explain(model, crops[0], "joy")


def test_the_overlay_is_warm_where_it_speaks_for_and_cold_where_against():
    heat = np.zeros((48, 48), np.float32)
    heat[:24], heat[24:] = 1, -1
    drawn = overlay(np.full((96, 96), 100, np.uint8), heat).astype(int)
    assert np.abs(drawn[10, 10] - FOR).max() < 60
    assert np.abs(drawn[85, 10] - AGAINST).max() < 60
    assert (overlay(np.full((9, 9, 3), 100, np.uint8), np.zeros((6, 6))) == 100).all()


def test_cards_stand_one_below_the_other(crops):
    probabilities = dict.fromkeys(EMOTIONS, 1 / 7)
    answers = [Answer(label="uncertain", confidence=1 / 7, probabilities=probabilities)] * 2
    one = draw_explanations(crops[:1], answers[:1], [np.zeros((48, 48), np.float32)])
    two = draw_explanations(crops[:2], answers, [np.zeros((48, 48), np.float32)] * 2)
    assert two.shape[1] == one.shape[1]
    assert two.shape[0] > 1.5 * one.shape[0]
