"""The gate before the champion alias: a table of challengers, each with the sentence that decides."""

from dataclasses import replace

import pandas as pd
import pytest

from ferrule.promotion.candidates import Candidate, Speed, find_obstacle, pair_predictions, select_new_images
from ferrule.promotion.comparison import compare
from ferrule.promotion.decision import Verdict, decide_promotion
from ferrule.promotion.gate import Evidence, Gate, spend_alpha

CLASSES = ("happy", "sad")
GATE = Gate(
    mode="better",
    alpha=0.05,
    margin=0.01,
    min_accuracy=0.55,
    min_class_recall=0.2,
    max_recall_loss=0.05,
    max_macro_f1_loss=0.01,
    max_log_loss_rise=0.05,
    max_ece_rise=0.03,
    max_latency=1000.0,
    max_slowdown=4.0,
    max_size=100.0,
)
EQUAL = replace(GATE, mode="not_worse", margin=0.2)
MANUAL = replace(GATE, mode="manual")
YES, NO = (Verdict(approve, "We need it", "Ada") for approve in (True, False))


def predictions(right, *, rows=100, first=0, labels=("happy",), sure=0.8):
    """Tabulate `rows` test images, numbered from `first` on, of which the first `right` are predicted rightly."""
    label = pd.Series([labels[row % len(labels)] for row in range(rows)])
    said = [each if row < right else CLASSES[each == "happy"] for row, each in enumerate(label)]
    table = pd.DataFrame(
        {"split": "test", "pixel_hash": pixels(first, first + rows), "label": label, "predicted": said}
    )
    for name in CLASSES:
        table[f"probability_{name}"] = [sure if each == name else 1 - sure for each in said]
    return table


def pixels(first, stop):
    return pd.Series([f"{number:016x}" for number in range(first, stop)], dtype="str")


def candidate(version="2", right=70, **changes):
    values = {
        "version": version,
        "validated": True,
        "missing": (),
        "accuracy": right / 100,
        "recalls": {"happy": 0.9, "sad": 0.5},
        "predictions": predictions(right),
        "seen": pixels(1000, 1100),
        "export": "passed: float32: same top class",
        "size": 5_000_000,
        "speed": Speed(single=30.0, batch=0.5),
    }
    return Candidate(**{**values, **changes})


def decide(challenger, champion, gate=GATE, *, look=1, verdict=None):
    comparable = champion and not find_obstacle(challenger, champion)
    said = pair_predictions(challenger, champion) if comparable else None
    evidence = said and Evidence(compare(said, draws=200, bins=5, seed=1), look)
    return decide_promotion(challenger, champion, gate, evidence, verdict)


@pytest.mark.parametrize(
    ("challenger", "champion", "gate", "promote", "sentence"),
    [
        (candidate(), None, GATE, True, "There was no champion."),
        (candidate(right=55), None, GATE, True, "accuracy is 55.0 %; at least 55.0 % is asked for."),
        (candidate(right=54), None, GATE, False, "Its test accuracy is 54.0 %; at least 55.0 % is asked for."),
        (candidate(validated=False), None, GATE, False, "The data behind it did not pass validation."),
        (candidate(missing=("ferrule.data_md5",)), None, GATE, False, "they lack ferrule.data_md5; run `ferrule run`"),
        (
            candidate(recalls={"happy": 0.9, "sad": 0.19}),
            None,
            GATE,
            False,
            "Its lowest recall is 19.0 %, of sad; at least 20.0 % is asked for.",
        ),
        (
            candidate(export="failed: float32: 0.9 points"),
            None,
            GATE,
            False,
            "it failed: float32: 0.9 points; train again",
        ),
        (candidate(export=None), None, GATE, False, "It has no bundle, which is what `ferrule predict` and"),
        (
            candidate(right=90, withdrawn="It calls everybody sad."),
            candidate("1"),
            GATE,
            False,
            "was rolled back (It calls everybody sad); `ferrule rollback --to 2 --why TEXT` takes that back.",
        ),
        (candidate(size=101_000_000), None, GATE, False, "It takes 101.0 MB; at most 100 MB is asked for."),
        (candidate(size=None), None, GATE, True, "There was no champion."),
        (candidate(speed=Speed(1001.0, 1.0)), None, GATE, False, "One image takes it 1001.0 ms; at most 1000 ms"),
        (candidate(speed=None), None, GATE, False, "It could not be loaded and asked about an image"),
        # better: 5 images more of 100 are luck, 6 are not (one in 2^5 and 2^6 where both are as good, 0.0304 is asked)
        (candidate(right=70), candidate("1", right=70), GATE, False, "+0.00 points of accuracy"),
        (candidate(right=75), candidate("1", right=70), GATE, False, "with a chance of 0.0312; at most 0.0304"),
        (candidate(right=76), candidate("1", right=70), GATE, True, "right on 6 that the champion, version 1, gets"),
        (candidate(right=69), candidate("1", right=70), GATE, False, "-1.00 points of accuracy"),
        # not_worse by 20 points: the interval of 100 images must not reach there
        (candidate(right=70), candidate("1", right=70), EQUAL, True, "One that is 20 points worse does so with a"),
        (candidate(right=66), candidate("1", right=70), EQUAL, True, "One that is 20 points worse"),
        (
            candidate(right=62),
            candidate("1", right=70),
            EQUAL,
            False,
            "recall of happy is 0.620, the champion's 0.700, on 100 images: more than 0.05 lower",
        ),
        (candidate(right=50), candidate("1", right=70), replace(EQUAL, min_accuracy=0.0), False, "chance of 0.5"),
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
        (
            candidate(),
            candidate("1", predictions=predictions(70).drop(columns="probability_sad")),  # kept by an older Ferrule
            GATE,
            False,
            "not asked about 100 of its 100 test images",
        ),
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
        (candidate(right=76), candidate("1", seen=pixels(0, 70)), GATE, True, "the same 30 test images (70 more are"),
        (candidate(right=69), candidate("1", seen=pixels(60, 100)), GATE, False, "+0.00 points"),
        (candidate(right=76, seen=pixels(76, 80)), candidate("1"), GATE, True, "the same 96 test images (4 more are"),
        (
            candidate(right=80, speed=Speed(121.0, 0.5)),
            candidate("1"),
            GATE,
            False,
            "An image takes it 121.0 ms and in a batch 0.50 ms, the champion 30.0 and 0.50 ms; at most 4 times as long",
        ),
        (candidate(right=80, speed=Speed(30.0, 2.1)), candidate("1"), GATE, False, "in a batch 2.10 ms"),
        (candidate(right=80), candidate("1", speed=None), GATE, True, "right on 10 that the champion"),
        # what can only refuse: a score that fell further than allowed, and not by chance
        (
            candidate(right=80, predictions=predictions(80, sure=0.999)),
            candidate("1"),
            GATE,
            False,
            "Its log loss is 1.382, the champion's 0.639, on 100 images: more than 0.05 higher, and no luck (a chance",
        ),
        (
            candidate(right=80, predictions=predictions(80, sure=0.999)),
            candidate("1"),
            GATE,
            False,
            "calibration error",
        ),
    ],
)
def test_decisions(challenger, champion, gate, promote, sentence):
    decision = decide(challenger, champion, gate)
    assert decision.promote is promote, decision.reasons
    assert any(sentence in reason for reason in decision.reasons), decision.reasons
    assert all(reason.endswith(".") for reason in decision.reasons)


def lose_a_class(rows, lost):
    """Tabulate two models: the challenger wins 30 images of one class and loses `lost` of the `rows` of the other."""
    labels = pd.Series(["happy"] * 200 + ["sad"] * rows)
    said = {
        "1": ["sad"] * 100 + ["happy"] * 100 + ["sad"] * rows,
        "2": ["sad"] * 70 + ["happy"] * 130 + ["happy"] * lost + ["sad"] * (rows - lost),
    }
    base = pd.DataFrame({"split": "test", "pixel_hash": pixels(0, len(labels)), "label": labels})
    shares = {f"probability_{name}": 0.5 for name in CLASSES}  # so that calibration has nothing to say
    return [candidate(each, predictions=base.assign(predicted=said[each], **shares)) for each in ("2", "1")]


@pytest.mark.parametrize(
    ("rows", "lost", "promote"),
    [
        (50, 3, True),  # 6 points, which 50 images do by chance
        (50, 12, False),  # 24 points do not
        (400, 10, True),  # 2.5 points, proven, but within what is allowed
        (400, 24, False),  # 6 points, proven
    ],
)
def test_a_class_may_not_pay_for_the_others(rows, lost, promote):
    decision = decide(*lose_a_class(rows, lost), replace(GATE, max_macro_f1_loss=1.0))
    told = {check.name: check for check in decision.checks}
    assert told["recall of sad"].passed is promote
    assert told["recall of happy"].passed


@pytest.mark.parametrize(
    ("challenger", "champion", "verdict", "promote", "waits", "sentence"),
    [
        (candidate(), candidate("1"), None, False, True, "+0.00 points"),
        (candidate(), candidate("1"), YES, True, False, "Approved by Ada: We need it."),
        (candidate(), candidate("1"), YES, True, False, "The numbers speak against it."),
        (candidate(right=80), candidate("1"), YES, True, False, "The numbers speak for it."),
        (candidate(right=80), candidate("1"), NO, False, False, "Refused by Ada: We need it."),
        (candidate(), None, None, False, True, "There was no champion."),
        (candidate(validated=False), candidate("1"), YES, False, False, "did not pass validation"),
        (candidate(validated=False), candidate("1"), None, False, False, "did not pass validation"),
        (candidate(), candidate("1", recalls={"fear": 1.0}), YES, False, False, "another register.model_name"),
        (candidate(predictions=None), candidate("1"), YES, True, False, "Its predictions are lost"),
    ],
)
def test_a_person_decides_but_cannot_approve_everything(challenger, champion, verdict, promote, waits, sentence):
    decision = decide(challenger, champion, MANUAL, verdict=verdict)
    assert (decision.promote, decision.waits) == (promote, waits)
    assert any(sentence in reason for reason in decision.reasons), decision.reasons


def test_a_refusal_tells_every_objection_and_nothing_else():
    decision = decide(candidate(right=50, validated=False), candidate("1", right=40))
    assert not decision.promote
    assert decision.reasons == (
        "The data behind it did not pass validation.",
        "Its test accuracy is 50.0 %; at least 55.0 % is asked for.",
    )


@pytest.mark.parametrize(
    ("challenger", "gate", "verdict", "settled"),
    [
        (candidate(), GATE, None, True),
        (candidate(right=80, speed=Speed(1001.0, 0.5)), GATE, None, False),  # the machine was busy, say
        (candidate(right=80, speed=Speed(900.0, 0.5)), GATE, None, False),  # slower than the champion
        (candidate(speed=None), GATE, None, True),  # could not be loaded, but is no better either
        (candidate(), MANUAL, NO, True),
        (candidate(), MANUAL, replace(NO, in_time=False), False),
    ],
)
def test_a_refusal_is_settled_unless_it_rests_on_what_was_measured_or_on_nobody(challenger, gate, verdict, settled):
    decision = decide(challenger, candidate("1"), gate, verdict=verdict)
    assert not decision.promote
    assert decision.settled is settled


def test_a_promotion_is_told_in_two_sentences():
    decided, passed = decide(candidate(right=76), candidate("1")).reasons
    assert "comparison 1 of this model" in decided
    assert passed == (
        "It also passed the checks of validation, lineage, accuracy, recall, export, size, latency, macro F1, "
        "log loss, calibration error, the recall of each class and speed."
    )


def test_the_level_falls_from_look_to_look_and_adds_up_to_alpha():
    levels = [spend_alpha(0.05, look) for look in range(1, 100_001)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == pytest.approx(0.0304, abs=1e-4)
    assert 0.0499 < sum(levels) < 0.05
    better = candidate(right=77), candidate("1")  # 7 of 7: a chance of 0.0078
    assert decide(*better, look=1).promote
    refused = decide(*better, look=2)
    assert "0.0078; at most 0.0076 is asked for in comparison 2 of this model." in refused.reasons[0]


def test_images_are_paired_by_their_pixels_and_scored_by_the_label_of_today():
    old = predictions(70).assign(sample_id=range(100))
    new = old[::-1].assign(sample_id=range(100))  # the same images from a file in another order
    decision = decide(candidate(predictions=new), candidate("1", predictions=old))
    assert "Of the same 100 test images it is right on 0" in decision.reasons[0]
    relabelled = old.assign(label="sad", predicted="sad")
    decision = decide(candidate(predictions=relabelled), candidate("1", predictions=old))
    assert "it is right on 70 that the champion, version 1, gets wrong" in decision.checks[8].sentence


def test_copies_among_the_test_images_count_once_each():
    new, old = (pd.concat([predictions(right)] * 2) for right in (70, 60))
    decision = decide(candidate(predictions=new), candidate("1", predictions=old))
    assert "Of the same 200 test images it is right on 20" in decision.reasons[0]


def test_validation_rows_do_not_count():
    table = pd.concat([predictions(76), predictions(0, first=500).assign(split="val")])
    decision = decide(candidate(predictions=table), candidate("1"))
    assert decision.promote
    assert "Of the same 100 test images" in decision.reasons[0]


def test_what_the_champion_said_of_its_own_validation_images_does_not_count():
    answers = predictions(70).assign(split=["val"] * 50 + ["test"] * 50)
    decision = decide(candidate(), candidate("1", predictions=answers))
    assert not decision.promote
    assert "not asked about 50 of its 100 test images" in decision.reasons[0]


def test_after_another_split_only_images_new_to_both_are_compared():
    champion = candidate("1", right=90, seen=pixels(0, 60))  # it knows most of the challenger's test images by heart
    challenger = candidate(right=100, predictions=predictions(0).assign(predicted=["sad"] * 60 + ["happy"] * 40))
    assert select_new_images(challenger, champion)["pixel_hash"].tolist() == pixels(60, 100).tolist()
    assert decide(challenger, champion, replace(GATE, max_log_loss_rise=9.0, max_ece_rise=1.0)).promote
    assert not decide(challenger, replace(champion, seen=pixels(0, 10)), GATE).promote


def test_versions_that_can_be_compared_have_no_obstacle():
    assert find_obstacle(candidate(), candidate("1", predictions=None)) is None
