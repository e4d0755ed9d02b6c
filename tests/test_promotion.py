"""The gate before the champion alias: a table of challengers, each with the sentence that decides."""

from dataclasses import replace

import pandas as pd
import pytest

from ferrule.promotion import Candidate, Decision, Gate, decide_promotion, find_obstacle, select_new_images

GATE = Gate(min_accuracy=0.55, min_class_recall=0.2, max_accuracy_loss=0.0)
CLASSES = ("happy", "sad")


def predictions(right, *, rows=100, first=0):
    """Tabulate `rows` test images, numbered from `first` on, of which the first `right` are predicted rightly."""
    said = ["happy"] * right + ["sad"] * (rows - right)
    hashes = pixels(first, first + rows)
    return pd.DataFrame({"split": "test", "pixel_hash": hashes, "label": "happy", "predicted": said})


def pixels(first, stop):
    return pd.Series([f"{number:016x}" for number in range(first, stop)], dtype="str")


def candidate(version="2", right=70, **changes):
    values = {
        "version": version,
        "validated": True,
        "accuracy": right / 100,
        "recalls": {"happy": 0.9, "sad": 0.5},
        "predictions": predictions(right),
        "seen": pixels(1000, 1100),
    }
    return Candidate(**{**values, **changes})


@pytest.mark.parametrize(
    ("challenger", "champion", "gate", "promote", "sentence"),
    [
        (candidate(), None, GATE, True, "There is no champion yet."),
        (candidate(right=55), None, GATE, True, "accuracy is 55.0 %; at least 55.0 % is asked for."),
        (candidate(right=54), None, GATE, False, "Its test accuracy is 54.0 %; at least 55.0 % is asked for."),
        (candidate(validated=False), None, GATE, False, "The data behind it did not pass validation."),
        (
            candidate(recalls={"happy": 0.9, "sad": 0.19}),
            None,
            GATE,
            False,
            "Its lowest recall is 19.0 %, of sad; at least 20.0 % is asked for.",
        ),
        (candidate(right=70), candidate("1", right=70), GATE, True, "+0.00 % accuracy"),
        (
            candidate(right=71),
            candidate("1", right=70),
            GATE,
            True,
            "right on 1 that the champion, version 1,",
        ),
        (
            candidate(right=69),
            candidate("1", right=70),
            GATE,
            False,
            "-1.00 % accuracy; at least +0.00 % is asked for.",
        ),
        (candidate(right=69), candidate("1", right=70), Gate(0.55, 0.2, 0.01), True, "at least -1.00 % is asked for."),
        (
            candidate(right=68),
            candidate("1", right=70),
            Gate(0.55, 0.2, 0.01),
            False,
            "and wrong on 2 that this",
        ),
        (candidate("1"), candidate("1"), GATE, False, "Version 1 is the champion already."),
        (
            candidate(),
            candidate("1", recalls={"happy": 1.0, "fear": 1.0}),
            GATE,
            False,
            "give a model of other classes another register.model_name.",
        ),
        (
            candidate(predictions=predictions(70, first=40)),
            candidate("1"),
            GATE,
            False,
            "the champion, version 1, which was not asked about 40 of its 100 test images; ask it first.",
        ),
        (candidate(), candidate("1", predictions=None), GATE, False, "not asked about 100 of its 100 test images"),
        (candidate(predictions=None), candidate("1"), GATE, False, "Its predictions are lost"),
        (candidate(seen=None), candidate("1"), GATE, False, "run the evaluate stage again."),
        (candidate(), candidate("1", seen=None), GATE, False, "it is lost which images that was trained on; run"),
        (
            candidate(),
            candidate("1", seen=pixels(0, 71)),
            GATE,
            False,
            "since only 29 of its 100 test images are new to both, and at least 30 are asked for; give both the same",
        ),
        (candidate(), candidate("1", seen=pixels(0, 70)), GATE, True, "the same 30 test images (70 more are left out"),
        (candidate(right=69), candidate("1", seen=pixels(60, 100)), GATE, True, "+0.00 % accuracy"),
        (candidate(right=71, seen=pixels(70, 80)), candidate("1"), GATE, True, "the same 90 test images (10 more are"),
        (candidate(right=71, seen=pixels(70, 80)), candidate("1"), GATE, True, "+0.00 % accuracy"),
    ],
)
def test_decisions(challenger, champion, gate, promote, sentence):
    decision = decide_promotion(challenger, champion, gate)
    assert decision.promote is promote
    assert any(sentence in reason for reason in decision.reasons), decision.reasons
    assert all(reason.endswith(".") for reason in decision.reasons)


def test_a_refusal_tells_every_objection_and_nothing_else():
    decision = decide_promotion(candidate(right=50, validated=False), candidate("1", right=40), GATE)
    assert decision == Decision(
        False,
        (
            "The data behind it did not pass validation.",
            "Its test accuracy is 50.0 %; at least 55.0 % is asked for.",
        ),
    )


def test_images_are_paired_by_their_pixels_and_scored_by_the_label_of_today():
    old = predictions(70).assign(sample_id=range(100))
    new = old[::-1].assign(sample_id=range(100))  # the same images from a file in another order
    decision = decide_promotion(candidate(predictions=new), candidate("1", predictions=old), GATE)
    assert "Of the same 100 test images it is right on 0" in decision.reasons[-1]
    relabelled = old.assign(label="sad", predicted="sad")
    decision = decide_promotion(candidate(predictions=relabelled), candidate("1", predictions=old), GATE)
    assert "it is right on 70 that the champion, version 1, gets wrong" in decision.reasons[-1]


def test_copies_among_the_test_images_count_once_each():
    new, old = (pd.concat([predictions(right)] * 2) for right in (70, 60))
    decision = decide_promotion(candidate(predictions=new), candidate("1", predictions=old), GATE)
    assert "Of the same 200 test images it is right on 20" in decision.reasons[-1]


def test_validation_rows_do_not_count():
    table = pd.concat([predictions(70), predictions(0, first=500).assign(split="val")])
    decision = decide_promotion(candidate(predictions=table), candidate("1"), GATE)
    assert decision.promote
    assert "Of the same 100 test images" in decision.reasons[-1]


def test_what_the_champion_said_of_its_own_validation_images_does_not_count():
    answers = predictions(70).assign(split=["val"] * 50 + ["test"] * 50)
    decision = decide_promotion(candidate(), candidate("1", predictions=answers), GATE)
    assert not decision.promote
    assert "not asked about 50 of its 100 test images" in decision.reasons[0]


def test_after_another_split_only_images_new_to_both_are_compared():
    champion = candidate("1", right=100, seen=pixels(0, 60))  # it knows most of the challenger's test images by heart
    challenger = candidate(right=100, predictions=predictions(0).assign(predicted=["sad"] * 60 + ["happy"] * 40))
    assert select_new_images(challenger, champion)["pixel_hash"].tolist() == pixels(60, 100).tolist()
    assert decide_promotion(challenger, champion, GATE).promote
    assert not decide_promotion(challenger, replace(champion, seen=pixels(0, 59)), GATE).promote


def test_versions_that_can_be_compared_have_no_obstacle():
    assert find_obstacle(candidate(), candidate("1", predictions=None)) is None
