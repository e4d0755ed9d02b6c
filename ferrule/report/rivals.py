"""What the report holds the model against: the champion of the registry, and what others published."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ferrule.documents import say_share
from ferrule.promotion.comparison import Comparison, Difference, mcnemar
from ferrule.promotion.contest import SCORES
from ferrule.report.blocks import Bar, Bars, Check, Section, Table, Text, Tone, estimate_bar, reach

_SIGNIFICANT = 0.05
_VOTED = " **This model learned FER+ votes in place of the labels**, which none of the others is known to have."
_SELECTED = {"unknown": "not known to us", "nothing": "", "test": "test images", "validation": "validation images"}


def describe_comparison(found: Comparison, one: str, other: str) -> Section:
    """Return how a version does beside the champion, on the images that are new to both."""
    differences = {SCORES[name]: each for name, each in found.scores.items()}
    recalls = {f"recall of {name}": each for name, each in found.recalls.items()}
    check = judge_comparison(found, one, other)
    gains = [_gain_bar("accuracy", differences["accuracy"], "" if check.tone == "note" else check.tone)]
    gains += [_gain_bar(name, each, "bad" if each.p_worse <= _SIGNIFICANT else "") for name, each in recalls.items()]
    far = max(abs(value) for bar in gains for value in (bar.low or 0.0, bar.high or 0.0, 0.01))
    rows = [
        (
            name,
            f"{each.challenger:.4f}",
            f"{each.champion:.4f}",
            f"{each.gain:+.4f}",
            f"{each.low:+.4f} to {each.high:+.4f}",
        )
        for name, each in differences.items()
    ]
    return Section(
        "champion",
        "Beside the champion",
        [
            Text(
                f"On the same {found.images:,} test images, new to both: {one} is right on {found.won:,} that {other} "
                f"gets wrong, and wrong on {found.lost:,} that {other} gets right. The promotion gate decides by the "
                "same numbers, with more checks."
            ),
            Table(("", one, other, "difference", "95 % interval"), rows, "lrrrr"),
            Bars(gains, -far, far, f"{one} less {other}, in points; red: worse beyond chance", 0.0),
        ],
        [check],
    )


def judge_comparison(found: Comparison, one: str, other: str) -> Check:
    """Return which of the two is more accurate, as far as chance lets one say (McNemar's exact test, two-sided)."""
    gain, who = found.scores["accuracy"], f"{one[:1].upper()}{one[1:]}"
    points = f"{100 * gain.gain:+.1f} points of accuracy ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    p_value = min(1.0, 2 * float(mcnemar(*sorted((found.won, found.lost), reverse=True))))
    if p_value > _SIGNIFICANT:
        return Check("note", f"{who} and {other} cannot be told apart: {points}, p = {p_value:.2g}.")
    if found.won > found.lost:
        return Check("good", f"{who} is more accurate than {other}: {points}, p = {p_value:.2g}.")
    return Check("bad", f"{who} is **less accurate** than {other}: {points}, p = {p_value:.2g}.")


def describe_published(metrics: Mapping[str, Any] | None, comparable: bool, *, labels: str) -> Section:
    """Return the field's published figures beside ours; `comparable` where ours are of FER-2013's own splits.

    `labels` is the parameter train.labels: other labels than the dataset's own are told, since theirs are those.
    """
    title = "Beside published figures"
    if not metrics or not comparable:
        return Section("published", title, [], [Check("absent", "Published figures: none is of the same test images.")])
    test = metrics["test"]
    ours = [estimate_bar("this model", test["accuracy"], tone="good")]
    if "test_tta" in metrics:
        ours.append(estimate_bar("this model, mean over all views", metrics["test_tta"]["accuracy"], tone="good"))
    figures = read_published()
    theirs = [
        Bar(
            figure["name"],
            figure["accuracy"],
            say_share(figure["accuracy"]),
            figure.get("low"),
            figure.get("high"),
            note=figure["fault"] or figure["remark"],
            tone="bad" if figure["fault"] else "",
        )
        for figure in figures
    ]
    bars = sorted([*ours, *theirs], key=lambda bar: bar.value)
    half = (test["accuracy"]["high"] - test["accuracy"]["low"]) / 2
    rows = [
        (
            figure["name"],
            say_share(figure["accuracy"]),
            _SELECTED[figure["selected_on"]],
            "; ".join(filter(None, (figure["fault"], figure["remark"]))),
            figure["source"],
        )
        for figure in figures
    ]
    return Section(
        "published",
        title,
        [
            Text(
                f"On PrivateTest, with its {test['rows']:,} images, a 95 % interval is about {100 * half:.1f} "
                "points to either side: most published gaps lie inside it. Figures in red were **selected on their "
                "test images** or are reported to leak, which only raises them." + _VOTED * (labels == "ferplus_soft")
            ),
            Bars(bars, *reach(bars), "Accuracy on FER-2013"),
            Table(
                ("", "accuracy", "selected on", "remark", "source"), rows, "lrlll", "Where these are from", folded=True
            ),
        ],
    )


@cache
def read_published() -> tuple[dict[str, Any], ...]:
    """Return published.json: name, accuracy, selected_on, fault, remark and source of each figure."""
    return tuple(json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8")))


def _gain_bar(name: str, each: Difference, tone: Tone) -> Bar:
    """Return a difference of two shares, in points."""
    text = f"{100 * each.gain:+.1f} ({100 * each.low:+.1f} to {100 * each.high:+.1f})"
    return Bar(name, each.gain, text, each.low, each.high, f"{each.rows:,} images", tone)
