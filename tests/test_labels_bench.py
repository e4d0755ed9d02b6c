"""The comparison of ways to take labels: what is kept, what the tables say, and intervals that hold the truth."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_training import SETTINGS, make_data

from bench.labels import Truth, compare_ways, estimate_difference, tabulate_suspicion
from ferrule.errors import DataError

CLASSES = ("angry", "happy", "neutral")
SHORT = replace(SETTINGS, epochs=1, sizes=(48,), mixup=0.0)


@pytest.mark.slow
def test_the_table_tells_each_way_beside_the_labels_given_and_keeps_what_was_trained(tmp_path):
    data = make_data()
    ways = {"given": data, "cleaned": replace(data, originals=data.originals[6:])}
    labels = data.labels[data.val]
    truth = Truth(labels, np.where(np.arange(len(labels)) < 20, labels, -1))
    table = compare_ways(ways, truth, CLASSES, SHORT, 2, tmp_path).splitlines()
    given, cleaned = (row.split(" | ") for row in table[2:])
    assert (given[0], given[1], cleaned[1]) == ("| given", "84", "78")
    assert [row.count("±") for row in table[2:]] == [3, 3]
    assert (given[3], given[-1]) == ("", " |")
    assert " to " in cleaned[3]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert {path.suffix for path in kept} == {".npy"}
    assert len(kept) == 4
    assert compare_ways(ways, truth, CLASSES, SHORT, 2, tmp_path).splitlines() == table
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept


@pytest.mark.parametrize(("seeds", "luck"), [(1, 0.0), (3, 0.02), (4, 0.01)])
def test_the_interval_holds_the_difference_of_what_images_and_seeds_were_drawn_from(seeds, luck):
    """Networks of one kind differ by luck, which one seed alone cannot show; images by how hard they are."""
    rng, held, runs = np.random.default_rng(seeds), 0, 1000
    for _ in range(runs):
        ease = rng.beta(2, 1, 3500)
        hits, others = (
            rng.random((seeds, 3500)) < np.clip(ease + gain + rng.normal(0, luck, (seeds, 1)), 0, 1)
            for gain in (0.03, 0.0)
        )
        truth = (np.clip(ease + 0.03, 0, 1) - ease).mean()
        value, low, high = estimate_difference(hits, others)
        assert low < value < high
        held += low <= truth <= high
    assert held / runs >= 0.92


def test_what_noise_says_is_told_with_what_chance_would_find():
    share = {"value": 0.8, "low": 0.7, "high": 0.9, "rows": 500}
    summary = {"rows": 1000, "suspected": 100, "share": 0.1, "accuracy": share, "skipped": None, "ferplus": None}
    assert "FER+" not in tabulate_suspicion(summary)
    measured = {
        "rows": 900,
        "disagree": share,
        "auc": share,
        "precision_at": 500,
        "precision": share,
        "suspected": share,
        "without_majority": share,
    }
    table = tabulate_suspicion(summary | {"ferplus": measured})
    assert "| suspected | 100 (10.0 %) |" in table
    assert "500 most suspect of them | 80.0 % (70.0 to 90.0) |" in table
    assert "500 most suspect of all, those without such a majority | 80.0 %" in table
    assert "quality | 0.800 (0.700 to 0.900) |" in table
    with pytest.raises(DataError, match=r"it did not: noise\.folds is 0"):
        tabulate_suspicion(summary | {"skipped": "noise.folds is 0"})


def test_answers_that_do_not_differ_have_no_interval():
    assert estimate_difference(np.ones((2, 5), bool), np.ones((2, 5), bool)) == (0, 0, 0)
