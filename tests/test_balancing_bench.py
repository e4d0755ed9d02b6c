"""The comparison of ways to treat rare classes: equal work, nothing trained twice, what the table says."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_training import SETTINGS, make_data

from bench.balancing import WAYS, measure
from bench.labels import Truth, compare_ways
from bench.trials import answer
from ferrule.batches import draw_rows

CLASSES = ("disgust", "happy", "neutral")
SHORT = replace(SETTINGS, epochs=1, sizes=(48,), mixup=0.0)


@pytest.fixture(scope="module")
def data():
    """Give training data in which class 0 is rare among the originals, and generated images make up for it."""
    data = make_data()
    rare = data.labels[data.originals] == 0
    kept = data.originals[~rare | (np.cumsum(rare) <= 6)]
    return replace(data, originals=kept)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_every_way_sees_about_as_many_images(way, data):
    settings = replace(SETTINGS, epochs=12, epoch_images=80)
    own = replace(settings, **way.change(settings, data))
    seen = own.epochs * len(draw_rows(data, own.epoch_images, np.random.default_rng(0), own.sampling))
    assert seen == pytest.approx(12 * 80, rel=0.05)


@pytest.mark.slow
def test_the_table_tells_mean_and_spread_and_keeps_what_was_trained(data, tmp_path):
    ways = [way for way in WAYS if way.name in ("originals as they are", "sampling, power 1")]
    table = measure(data, CLASSES, SHORT, 2, tmp_path, ways).splitlines()
    assert table[0].split(" | ")[-1].startswith("disgust recall")
    assert len(table) == 2 + len(ways)
    assert all(row.count("±") == 4 for row in table[2:])
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 4
    assert measure(data, CLASSES, SHORT, 2, tmp_path, ways).splitlines() == table
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept


def test_other_settings_are_another_training(data, tmp_path):
    (first, _), (second, _) = (answer(data, replace(SHORT, class_weights=power), tmp_path) for power in (0.0, 1.0))
    assert (first != second).any()


def test_what_another_benchmark_trained_is_not_trained_again(data, tmp_path):
    """The recipe is one of the ways here, and the labels given are one of the ways there."""
    recipe = [way for way in WAYS if way.name.startswith("the recipe")]
    measure(data, CLASSES, SHORT, 1, tmp_path, recipe)
    (kept,) = tmp_path.iterdir()
    before = kept.stat().st_mtime_ns
    compare_ways({"given": data}, Truth(data.labels[data.val], None), CLASSES, SHORT, 1, tmp_path)
    assert [(path, path.stat().st_mtime_ns) for path in tmp_path.iterdir()] == [(kept, before)]


def test_one_view_and_eighteen_are_kept_apart(data, tmp_path):
    plain, averaged = answer(data, SHORT, tmp_path)
    assert plain.shape == averaged.shape == (len(data.val), len(CLASSES))
    assert (plain != averaged).any()
