"""Which drift is announced: a test that drifts, once, until its cool-down has passed; and what is said of it."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from ferrule.monitoring.check import Check


def find_news(check: Check, announced: Mapping[str, datetime], cool_down: timedelta) -> list[str]:
    """Return the tests that drift and were not announced within the cool-down; `announced` has their last times."""
    return [
        result.name
        for result in check.drifted
        if (before := announced.get(result.name)) is None or check.moment - before >= cool_down
    ]


def say_announcement(check: Check, announced: Mapping[str, datetime], cool_down: timedelta) -> str:
    """Return whether the drift of a look is announced and, where not, since when and until when; nothing if quiet.

    `announced` is as it was before the look.
    """
    if not check.drifted:
        return ""
    if find_news(check, announced, cool_down):
        return "Announced."
    told: dict[datetime, list[str]] = {}
    for result in check.drifted:
        told.setdefault(announced[result.name], []).append(result.name)
    before = "; ".join(
        f"drift of {', '.join(names)} was announced on {_say(told_at)}" for told_at, names in told.items()
    )
    return f"Not announced: {before}; again from {_say(min(told) + cool_down)}."


def _say(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
