"""The looks: what they may spend, which images and labels they are about, and what they conclude."""

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitored_project import draw_images, write_labels, write_monitored_project, write_scored

from ferrule.monitoring.announcements import find_news, say_announcement
from ferrule.monitoring.changes import say_accuracy, say_classes, say_values
from ferrule.monitoring.check import Check, judge, measure_performance, spend_alpha
from ferrule.monitoring.drift_tests import Finding
from ferrule.monitoring.windows import read_labelled, read_window
from ferrule.scoring.scored import read_scored

RATE, PERIOD = 0.05, timedelta(days=30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 90 * 24), min_size=1, max_size=300))
def test_the_looks_of_a_period_never_spend_more_than_its_rate(hours):
    looks = sorted(EPOCH + timedelta(days=600, hours=hour) for hour in hours)
    spent: dict[int, float] = {}
    for last, now in zip([None, *looks], looks, strict=False):
        period = (now - EPOCH) // PERIOD
        spent[period] = spent.get(period, 0) + spend_alpha(now, last, rate=RATE, period=PERIOD)
    assert max(spent.values()) <= RATE * (1 + 1e-9)
    assert min(spent.values()) >= 0


def test_a_look_may_spend_what_has_grown_since_the_last():
    start = EPOCH + 700 * PERIOD
    spend = {"rate": RATE, "period": PERIOD}
    day = RATE / 30
    assert spend_alpha(start + timedelta(days=3), start + timedelta(days=2), **spend) == pytest.approx(day)
    assert spend_alpha(start + timedelta(days=3), None, **spend) == pytest.approx(3 * day)
    assert spend_alpha(start + timedelta(days=1), start - timedelta(days=9), **spend) == pytest.approx(day)
    assert spend_alpha(start, start, **spend) == 0
    assert spend_alpha(start, start + timedelta(hours=1), **spend) == 0  # a clock that was put back


def test_drift_takes_an_effect_and_more_than_chance():
    findings = [
        Finding("classes", "", 0.20, 0.10, 1e-6),
        Finding("contrast", "", 0.05, 0.10, 1e-6),
        Finding("sharpness", "", 0.20, 0.10, 0.02),
    ]
    assert [result.drifted for result in judge(findings, 0.01)] == [True, False, False]
    assert [result.drifted for result in judge(findings, 0.0)] == [False, False, False]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("monitored")
    return root, write_monitored_project(root)


@pytest.fixture
def scored(project):
    """Give the project with 60 images scored on each of five days."""
    root, champion = project
    images = draw_images(300, 1)
    for day in range(5):
        write_scored(root, images[60 * day : 60 * day + 60], NOON + timedelta(days=day))
    yield root, champion.model_md5
    shutil.rmtree(root / "scoring")


def read(root, model_md5, **changes):
    asked = {"since": NOON - timedelta(days=9), "last": None, "at_least": 100, "at_most": 1000, "seed": 0}
    return read_window(root, model_md5, **(asked | changes))


@pytest.mark.parametrize(
    ("changes", "rows", "new"),
    [
        ({}, 300, 300),  # all is new
        ({"last": NOON + timedelta(days=3)}, 120, 60),  # whole inputs until there are 100
        ({"last": NOON + timedelta(days=1)}, 180, 180),  # all that is new, though it is more
        ({"last": NOON + timedelta(days=4)}, 120, 0),
        ({"last": NOON + timedelta(days=3), "at_least": 9999}, 300, 60),
        ({"since": NOON + timedelta(days=2, hours=1), "at_least": 9999}, 120, 120),  # older ones are out
        ({"since": NOON + timedelta(days=9)}, 0, 0),
        ({"at_most": 70}, 70, 300),
    ],
)
def test_a_window_is_what_is_new_and_at_least_so_many(scored, changes, rows, new):
    window = read(*scored, **changes)
    assert (len(window.table), window.new) == (rows, new)
    if rows:
        assert window.newest == NOON + timedelta(days=4)


def test_a_drawn_window_has_the_embeddings_of_its_images(scored):
    root, model_md5 = scored
    write_scored(root, draw_images(300, 1)[:60], NOON + timedelta(days=4), model_md5="another")  # some of the same
    drawn, whole = read(root, model_md5, at_most=70).table, read(root, model_md5).table
    expected = whole.set_index("pixel_hash")["embedding"]
    for pixel_hash, embedding in zip(drawn["pixel_hash"], drawn["embedding"], strict=True):
        np.testing.assert_array_equal(embedding, expected[pixel_hash])
    some = read_scored(root, columns=["pixel_hash", "embedding"], pixel_hashes=set(drawn["pixel_hash"][:3]))
    assert set(some["pixel_hash"]) == set(drawn["pixel_hash"][:3])


def test_a_window_holds_the_images_of_its_model_once_each(scored):
    root, model_md5 = scored
    write_scored(root, draw_images(50, 2), NOON + timedelta(days=4), model_md5="another")
    images = draw_images(300, 1)
    write_scored(root, np.concatenate([images[:60], draw_images(1, 3)]), NOON + timedelta(days=5))
    window = read(root, model_md5)
    assert len(window.table) == 301
    assert window.table["pixel_hash"].is_unique
    assert window.new == 361


def read_labels_of(root, model_md5, **changes):
    asked = {"since": NOON - timedelta(days=9), "last": None, "at_least": 30}
    return read_labelled(root, model_md5, ("angry", "happy", "neutral"), **(asked | changes))


def test_labels_find_the_images_that_the_model_scored(scored):
    root, model_md5 = scored
    assert len(read_labels_of(root, model_md5).table) == 0
    table = read(root, model_md5).table
    write_labels(root, table[:40].assign(label="happy"), NOON + timedelta(days=6))
    write_labels(root, table[40:50].assign(label="angry"), NOON + timedelta(days=7))
    write_labels(root, table[50:60].assign(label="surprise"), NOON + timedelta(days=7))  # not a class of this model
    window = read_labels_of(root, model_md5)
    assert (len(window.table), window.new) == (50, 50)
    later = read_labels_of(root, model_md5, last=NOON + timedelta(days=6))
    assert (len(later.table), later.new, later.newest) == (30, 10, NOON + timedelta(days=7))
    assert (later.table["label"] == "angry").sum() == 10
    assert len(read_labels_of(root, "another").table) == 0
    assert len(read_labels_of(root, model_md5, since=NOON + timedelta(days=5)).table) == 0


def test_performance_has_intervals_around_the_truth():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.55, 0.95, 2000)
    predicted = np.array(["angry", "happy"])[rng.integers(0, 2, 2000)]
    right = rng.random(2000) < sure
    label = np.where(right, predicted, np.where(predicted == "angry", "happy", "angry"))
    happy = np.where(predicted == "happy", sure, 1 - sure)
    table = pd.DataFrame({"label": label, "predicted": predicted, "confidence": sure})
    table = table.assign(probability_angry=1 - happy, probability_happy=happy)
    performance = measure_performance(table, table, seed=0)
    assert performance.accuracy.low < 0.75 < performance.accuracy.high
    assert performance.accuracy.value == performance.reference_accuracy == right.mean()
    assert performance.calibration_error.low < 0.02
    assert performance.calibration_error.value < 0.1
    assert performance.confidence == pytest.approx(0.75, abs=0.01)


def look(*drifted, moment=NOON):
    results = [Finding(name, "", 0.5, 0.1, 1e-9, change="it changed") for name in drifted]
    quiet = [Finding("contrast", "distance", 0.04, 0.12, 1.0)]
    return Check(moment, 300, 300, 0.05, judge([*results, *quiet], 0.05), None)


def test_a_test_that_was_not_announced_lately_is_news():
    week, told = timedelta(days=7), {"brightness": NOON - timedelta(days=2), "classes": NOON - timedelta(days=8)}
    assert find_news(look("brightness"), told, week) == []
    assert find_news(look("brightness", "accuracy"), told, week) == ["accuracy"]
    assert find_news(look("brightness", "classes"), told, week) == ["classes"]
    assert find_news(look(), told, week) == []
    assert say_announcement(look(), told, week) == ""
    assert say_announcement(look("brightness", "accuracy"), told, week) == "Announced."
    assert say_announcement(look("brightness"), told, week) == (
        "Not announced: drift of brightness was announced on 2026-02-28 12:00 UTC; again from 2026-03-07 12:00 UTC."
    )


def test_changes_are_told_with_their_direction():
    low, high = pd.Series([50.0, 52.0, 54.0]), pd.Series([127.0, 129.0, 131.0])
    assert say_values("brightness", high, low) == "mean 52.0 in place of 129.0 grey levels (darker)"
    assert say_values("sharpness", low, high) == "mean 129.0 in place of 52.0 (sharper)"
    assert say_values("confidence", high / 200, low / 200) == "mean 26.0 in place of 64.5% (less sure)"
    assert say_values("contrast", low, (low - 52) * 3 + 52) == (
        "about the same mean, standard deviation 6.0 in place of 2.0 grey levels (wider)"
    )
    before, after = pd.Series(["happy"] * 5 + ["sad"] * 5), pd.Series(["happy"] * 9 + ["angry"])
    assert say_classes(before, after) == "happy grew by 40.0 points to 90.0%, sad shrank by 50.0 points to 0.0%"
    assert say_accuracy(0.692, 0.61) == "61.0% in place of 69.2% (worse)"


def test_a_window_names_the_inputs_it_came_in(scored):
    assert read(*scored).inputs == (("new.csv", 300),)
