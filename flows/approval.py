"""The mode `manual`: a person decides, in Prefect's interface or on the command line, with the comparison in view."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from ferrule.promotion.decision import Verdict
from ferrule.registry.aliases import CHALLENGER, CHAMPION, note_decision, read_history
from ferrule.registry.ledger import INTENDED, JUDGING, WAITING, Entry
from ferrule.registry.versions import find_version

POLL = 2  # seconds between looks at whether a person has answered
ANSWER_TIMEOUT = 60  # seconds that a waiting flow has to act on an answer


class Approval(RunInput):
    """What Prefect's interface asks for."""

    approve: bool = Field(description="Whether the challenger becomes the champion.")
    why: str = Field(min_length=1, description="The reason; it goes into the ledger.")
    who: str = Field(default="a person in Prefect", description="Your name; it goes into the ledger.")


def wait_for_person(root: Path, run_id: str, version: str, report: str, hours: float) -> Verdict:
    """Pause the flow until a person has decided, with `report` (Markdown) before them.

    Where nobody does within `hours`, that is a refusal.
    """
    until = datetime.now(UTC) + timedelta(hours=hours)
    get_run_logger().info(
        f"Version {version} waits for a person, until {until:%Y-%m-%d %H:%M} UTC: resume this run in Prefect "
        f"({flow_run.ui_url}), or say `ferrule promote --approve --why TEXT` or `ferrule promote --refuse --why TEXT`."
    )
    note_decision(root, run_id, WAITING)
    try:
        answer = pause_flow_run(
            wait_for_input=Approval.with_initial_data(description=report),
            timeout=round(3600 * hours),
            poll_interval=POLL,
        )
    except FlowPauseTimeout:
        return Verdict(False, f"nobody decided within {hours:g} hours", "the time limit", in_time=False)
    note_decision(root, run_id, JUDGING)
    return Verdict(answer.approve, answer.why, answer.who)


def answer_waiting(root: Path, name: str, verdict: Verdict) -> Entry | None:
    """Give `verdict` to the flow that waits for it, and return its entry once it has acted; None where none waits."""
    entry = _find_waiting(root, name)
    if entry is None:
        return None
    answer: dict[str, Any] = {"approve": verdict.approve, "why": verdict.why, "who": verdict.who}
    try:
        resume_flow_run(UUID(entry.flow_run_id), run_input=answer)
    except Exception:  # it waits on another Prefect server, or has stopped to wait: then it is decided here
        return None
    deadline = time.monotonic() + ANSWER_TIMEOUT
    while time.monotonic() < deadline:
        now = next(each for each in read_history(root, name) if each.run_id == entry.run_id)
        if now.state not in (WAITING, JUDGING, INTENDED):
            return now
        time.sleep(POLL / 2)
    return None


def _find_waiting(root: Path, name: str) -> Entry | None:
    """Return the newest entry that waits for a person over the two versions of today."""
    holders = [find_version(root, name, alias) for alias in (CHAMPION, CHALLENGER)]
    pair = tuple(holder and holder.version for holder in holders)
    waiting = [
        entry
        for entry in read_history(root, name)
        if entry.state == WAITING and not entry.orphaned and (entry.before, entry.after) == pair and entry.flow_run_id
    ]
    return waiting[-1] if waiting else None
