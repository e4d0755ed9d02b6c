"""The checks of the gate before the champion alias, each with the numbers that it goes by.

The question put to the test images is one: is the challenger's accuracy better (or not worse by a margin)? Everything
else can only refuse. docs/promotion.md says how often which mistake is made, by simulation.
"""

import math
from dataclasses import dataclass
from typing import Literal

from ferrule.documents import say_share
from ferrule.promotion.candidates import (
    Candidate,
    count_left_out,
    count_unasked,
    find_obstacle,
    have_same_classes,
    name,
)
from ferrule.promotion.comparison import LOWER_IS_BETTER, Comparison, Difference

Mode = Literal["better", "not_worse", "manual"]

RECALL = "recall of "  # with the name of a class: the check of its recall beside the champion's

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Gate:
    """What a champion must fulfil; the section `promotion` of params.yaml."""

    mode: Mode
    alpha: float
    margin: float
    min_accuracy: float
    min_class_recall: float
    max_recall_loss: float
    max_macro_f1_loss: float
    max_log_loss_rise: float
    max_ece_rise: float
    max_latency: float  # milliseconds
    max_slowdown: float
    max_size: float  # MB


@dataclass(frozen=True)
class Evidence:
    """The comparison with the champion, and the how manieth it is under the name of the model, from 1."""

    comparison: Comparison
    look: int


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, whether it is as asked for, and a sentence with its numbers."""

    name: str
    passed: bool
    sentence: str


def spend_alpha(alpha: float, look: int) -> float:
    """Return the level of the `look`th comparison under one model name, from 1: alpha 6 / (pi look)^2.

    The levels of any number of comparisons add up to less than `alpha` (Bonferroni over an endless sequence, as in
    Foster and Stine 2008, "Alpha-investing"), so this bounds the chance that any of them promotes by luck.
    """
    return alpha * 6 / (math.pi * look) ** 2


def check_alone(challenger: Candidate, gate: Gate) -> list[Check]:
    """Return what the gate says of the challenger by itself."""
    weakest = min(challenger.recalls, key=lambda each: challenger.recalls[each])
    recall, passed = challenger.recalls[weakest], "passed" if challenger.validated else "did not pass"
    lineage = f"lack {', '.join(challenger.missing)}; run `ferrule run` again" if challenger.missing else "tell it"
    return [
        Check("validation", challenger.validated, f"The data behind it {passed} validation."),
        Check("lineage", not challenger.missing, f"Its tags are to tell where it comes from; they {lineage}."),
        Check(
            "accuracy",
            challenger.accuracy >= gate.min_accuracy,
            f"Its test accuracy is {say_share(challenger.accuracy)}; "
            f"at least {say_share(gate.min_accuracy)} is asked for.",
        ),
        Check(
            "recall",
            recall >= gate.min_class_recall,
            f"Its lowest recall is {say_share(recall)}, of {weakest}; "
            f"at least {say_share(gate.min_class_recall)} is asked for.",
        ),
        _check_export(challenger),
        _check_withdrawal(challenger),
        _check_size(challenger, gate),
        _check_latency(challenger, gate),
    ]


def _check_export(challenger: Candidate) -> Check:
    """Return whether what is exported, and asked by `ferrule predict` and `serve`, says what the network says."""
    if challenger.export is None:
        return Check(
            "export",
            False,
            "It has no bundle, which is what `ferrule predict` and `ferrule serve` run; `ferrule run` makes it.",
        )
    passed = challenger.export.startswith("passed")
    remedy = "" if passed else "; train again"
    return Check("export", passed, f"What is exported is to say what the network says; it {challenger.export}{remedy}.")


def _check_withdrawal(challenger: Candidate) -> Check:
    """Return whether the challenger was the champion and was rolled back, which the same numbers must not undo."""
    if challenger.withdrawn is None:
        return Check("withdrawal", True, "It was not rolled back.")
    return Check(
        "withdrawal",
        False,
        f"It was the champion and was rolled back ({challenger.withdrawn.rstrip('.')}); "
        f"`ferrule rollback --to {challenger.version} --why TEXT` takes that back.",
    )


def _check_size(challenger: Candidate, gate: Gate) -> Check:
    if challenger.size is None:
        return Check("size", True, "The store does not tell its size.")
    size = challenger.size / _MEGABYTE
    return Check("size", size <= gate.max_size, f"It takes {size:.1f} MB; at most {gate.max_size:g} MB is asked for.")


def _check_latency(challenger: Candidate, gate: Gate) -> Check:
    if challenger.speed is None:
        return Check("latency", False, "It could not be loaded and asked about an image; see the log.")
    single = challenger.speed.single
    sentence = f"One image takes it {single:.1f} ms; at most {gate.max_latency:g} ms is asked for."
    return Check("latency", single <= gate.max_latency, sentence)


def check_beside(
    challenger: Candidate, champion: Candidate | None, gate: Gate, evidence: Evidence | None
) -> list[Check]:
    """Return what the gate says of the challenger beside the champion."""
    if champion is None:
        return [Check("champion", True, "There was no champion.")]
    obstacle = find_obstacle(challenger, champion)
    if obstacle:
        return [Check("comparison" if have_same_classes(challenger, champion) else "classes", False, obstacle)]
    if evidence is None:
        missing, images = count_unasked(challenger, champion)
        unasked = f"which was not asked about {missing:,} of its {images:,} test images; ask it first."
        return [Check("comparison", False, f"It cannot be compared with {name(champion)} {unasked}")]
    return [
        _check_better(challenger, champion, gate, evidence),
        *_check_losses(champion, gate, evidence.comparison),
        _check_slowdown(challenger, champion, gate),
    ]


def _check_better(challenger: Candidate, champion: Candidate, gate: Gate, evidence: Evidence) -> Check:
    """Return whether the challenger is significantly better, or in the mode `not_worse` not worse by the margin."""
    found, level = evidence.comparison, spend_alpha(gate.alpha, evidence.look)
    if gate.mode == "not_worse":
        luck, chance = f"One that is {100 * gate.margin:g} points worse", found.p_not_worse(gate.margin)
    else:
        luck, chance = "One that is no better", found.p_better
    accuracy, left_out = found.scores["accuracy"], count_left_out(challenger, found.images)
    others = f" ({left_out:,} more are left out: one of the two was trained or selected on them)" if left_out else ""
    return Check(
        "comparison",
        chance <= level,
        f"Of the same {found.images:,} test images{others} it is right on {found.won:,} that {name(champion)} gets "
        f"wrong, and wrong on {found.lost:,} that this gets right: {_points(accuracy)}. {luck} does so with a chance "
        f"of {_chance(chance)}; at most {_chance(level)} is asked for in comparison {evidence.look} of this model.",
    )


def _check_losses(champion: Candidate, gate: Gate, found: Comparison) -> list[Check]:
    """Return whether other scores, and the recall of each class, fell: further than allowed, and not by chance alone.

    A class of 55 images moves by ten points between two seeds, so a difference alone says nothing.
    """
    limits = {
        "macro_f1": ("macro F1", gate.max_macro_f1_loss),
        "log_loss": ("log loss", gate.max_log_loss_rise),
        "ece": ("calibration error", gate.max_ece_rise),
    }
    checks = [_check_loss(gate, *limits[key], found.scores[key], key in LOWER_IS_BETTER) for key in limits]
    for each, recall in found.recalls.items():
        checks.append(_check_loss(gate, f"{RECALL}{each}", gate.max_recall_loss, recall, False))
    return checks


def _check_loss(gate: Gate, what: str, limit: float, found: Difference, lower_is_better: bool) -> Check:
    loss = found.gain if lower_is_better else -found.gain
    proven = loss > limit and found.p_worse <= gate.alpha
    values = f"Its {what} is {found.challenger:.3f}, the champion's {found.champion:.3f}, on {found.rows:,} images"
    direction, chance = "higher" if lower_is_better else "lower", _chance(found.p_worse)
    grave = f"{values}: more than {limit:g} {direction}, and no luck (a chance of {chance} where both are as good)."
    return Check(what, not proven, grave if proven else f"{values}.")


def _check_slowdown(challenger: Candidate, champion: Candidate, gate: Gate) -> Check:
    one, other = challenger.speed, champion.speed
    if one is None or other is None:
        return Check("speed", True, "How fast it is beside the champion could not be measured.")
    ratio = max(one.single / other.single, one.batch / other.batch)
    return Check(
        "speed",
        ratio <= gate.max_slowdown,
        f"An image takes it {one.single:.1f} ms and in a batch {one.batch:.2f} ms, the champion {other.single:.1f} and "
        f"{other.batch:.2f} ms; at most {gate.max_slowdown:g} times as long is asked for.",
    )


def _points(found: Difference) -> str:
    """Return a gain of accuracy as "+1.9 points of accuracy (95 % interval: +0.8 to +3.1)"."""
    gain, low, high = (100 * share for share in (found.gain, found.low, found.high))
    return f"{gain:+.2f} points of accuracy (95 % interval: {low:+.2f} to {high:+.2f})"


def _chance(share: float) -> str:
    """Return a chance with enough digits to compare it with another."""
    return f"{share:.4f}" if share >= 0.0001 else "less than 0.0001"
