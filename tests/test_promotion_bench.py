"""The simulation behind docs/promotion.md: of pairs like real ones, it asks what the gate asks, and holds its bounds.

Counts are held to the 99.99 % point of what the stated rate gives, so a gate that breaks it by half is caught.
"""

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from scipy.stats import binom

from bench import promotion as bench
from bench.tables import marks
from ferrule.documents import split_at_marks
from ferrule.promotion.candidates import Candidate, Speed, pair_predictions
from ferrule.promotion.comparison import compare
from ferrule.promotion.decision import decide_promotion
from ferrule.promotion.gate import Evidence, spend_alpha
from flows.promotion import read_gate
from pipelines.params import load_params

GATE = read_gate(load_params(REPOSITORY))
PAIRS, SEQUENCES = 1500, 400


@pytest.fixture(scope="module")
def world():
    return bench.build_world()


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def at_most(rate, trials):
    return binom.ppf(0.9999, trials, rate)


def test_pairs_are_as_accurate_and_as_alike_as_stated(world, rng):
    assert len(world.labels) == 3589
    counts = bench.draw_pairs(world, 0.02, PAIRS, rng)
    won, lost = counts.totals
    assert ((won - lost) / counts.rows).mean() == pytest.approx(0.02, abs=0.001)
    equal = bench.draw_pairs(world, 0.0, PAIRS, rng)
    assert (sum(equal.totals) / equal.rows).mean() == pytest.approx(bench.DISCORDANT, abs=0.002)
    spread = np.std((equal.totals[0] - equal.totals[1]) / equal.rows)
    assert spread == pytest.approx(np.sqrt(bench.DISCORDANT / 3589), rel=0.1)


def test_false_promotions_stay_under_the_level_and_true_gains_are_found(world, rng):
    level = spend_alpha(GATE.alpha, 1)
    for mode, gain in (("better", 0.0), ("not_worse", -GATE.margin)):
        counts = bench.draw_pairs(world, gain, PAIRS, rng)
        assert bench.promotes(counts, mode, GATE.margin, level).sum() <= at_most(level, PAIRS), mode
    counts = bench.draw_pairs(world, 0.03, 300, rng)
    assert bench.promotes(counts, "better", GATE.margin, level).mean() > 0.97
    assert bench.promotes_if_as_good(bench.draw_pairs(world, 0.0, PAIRS, rng)).mean() > 0.45


def test_twenty_equal_challengers_in_a_row_stay_under_alpha_together(world, rng):
    counts = bench.draw_pairs(world, 0.0, SEQUENCES, rng, 22).first(20)
    assert counts.won.shape == (SEQUENCES, 20, 7)
    each, anew, corrected = (
        bench.promotes(counts, "better", GATE.margin, level).any(axis=1)
        for level in bench.list_levels(GATE.alpha, 20).values()
    )
    assert corrected.sum() <= at_most(GATE.alpha, SEQUENCES)
    assert each.mean() > 0.2
    assert each.mean() > anew.mean() > corrected.mean()
    assert bench.promotes_if_as_good(counts).any(axis=1).mean() > 0.9


def test_the_check_of_recalls_seldom_refuses_an_equal_model(world, rng):
    counts = bench.draw_pairs(world, 0.0, PAIRS, rng)
    assert bench.refuses_for_recall(counts, GATE, world).sum() <= at_most(GATE.alpha, PAIRS)


def test_the_simulated_question_is_the_one_of_the_gate(world, rng):
    """Pairs at the edge, put before `decide_promotion` as tables, are decided alike."""
    counts, level = bench.draw_pairs(world, 0.011, 16, rng), spend_alpha(GATE.alpha, 1)
    expected = bench.promotes(counts, "better", GATE.margin, level)
    assert 0 < expected.sum() < 16
    for number in range(16):
        one, other = make_candidates(*(int(side[number]) for side in counts.totals))
        found = compare(pair_predictions(one, other), draws=20, bins=5, seed=1)
        decision = decide_promotion(one, other, GATE, Evidence(found, 1))
        (check,) = [check for check in decision.checks if check.name == "comparison"]
        assert check.passed == expected[number], check.sentence


def make_candidates(won, lost, rows=3589):
    right = {"2": np.arange(rows) >= lost, "1": (np.arange(rows) < lost) | (np.arange(rows) >= lost + won)}
    candidates = []
    for version, hits in right.items():
        table = pd.DataFrame({"split": "test", "label": "happy", "predicted": np.where(hits, "happy", "sad")})
        table["pixel_hash"] = [f"{row:016x}" for row in range(rows)]
        table[["probability_happy", "probability_sad"]] = 0.5
        known = {"validated": True, "missing": (), "accuracy": 0.7, "recalls": {"happy": 0.7, "sad": 0.7}}
        seen = pd.Series([], dtype="str")
        candidates.append(
            Candidate(version, **known, predictions=table, seen=seen, export="passed", size=1, speed=Speed(1.0, 1.0))
        )
    return candidates


def test_the_document_has_the_tables_between_its_marks():
    before, _ = split_at_marks(REPOSITORY / "docs" / "promotion.md", *marks("promotion", "docs/promotion.md"))
    text = (REPOSITORY / "docs" / "promotion.md").read_text()
    assert "| none: equal models |" in text[len(before) :]


def test_the_whole_simulation_can_be_printed():
    text = bench.simulate(GATE, seed=1, pairs=20)
    for words in (
        "20 pairs for each line",
        "| +3.0 points |",
        "| -0.5 points |",
        "| 52 worse by the margin | `not_worse` |",
        "| 20 | 0.0001 |",
    ):
        assert words in text
