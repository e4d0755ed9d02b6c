"""The decision before the champion alias: whether a challenger may take its place, and why."""

from dataclasses import dataclass, replace

from ferrule.promotion.candidates import Candidate
from ferrule.promotion.gate import RECALL, Check, Evidence, Gate, check_alone, check_beside

# What no person can approve: data that did not pass validation, and an answer to another question.
_HARD = ("validation", "classes")

# What is measured when asked, and may be found otherwise an hour later.
_MEASURED = ("latency", "speed")


@dataclass(frozen=True)
class Verdict:
    """What a person says in the mode `manual`."""

    approve: bool
    why: str
    who: str
    in_time: bool = True  # False where nobody decided, which counts as refused

    def __str__(self) -> str:
        return f"{'Approved' if self.approve else 'Refused'} by {self.who}: {self.why.rstrip('.')}."


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and the reasons as sentences: all objections, or what speaks for it.

    Where `waits`, a person has yet to decide, and the reasons are what the numbers say. What is `settled` would be
    decided likewise if it were asked again.
    """

    promote: bool
    reasons: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    waits: bool = False
    settled: bool = True


def decide_promotion(
    challenger: Candidate,
    champion: Candidate | None,
    gate: Gate,
    evidence: Evidence | None = None,
    verdict: Verdict | None = None,
) -> Decision:
    """Decide whether `challenger` becomes the champion.

    `evidence` is asked for where there is a champion that it can be compared with. In the mode `manual` a person's
    `verdict` decides, unless the data was not validated or the classes are others.
    """
    if champion is not None and champion.version == challenger.version:
        return Decision(False, (f"Version {challenger.version} is the champion already.",))
    checks = (*check_alone(challenger, gate), *check_beside(challenger, champion, gate, evidence))
    failed = [check for check in checks if not check.passed]
    settled = not failed or any(check.name not in _MEASURED for check in failed)
    reasons = tuple(check.sentence for check in failed) or _speak_for(checks)
    by_numbers = Decision(not failed, reasons, checks, settled=settled)
    return by_numbers if gate.mode != "manual" else _ask_person(by_numbers, verdict)


def _ask_person(numbers: Decision, verdict: Verdict | None) -> Decision:
    """Return the decision of a person, who is shown what the numbers say; `_HARD` objections stand."""
    if any(not check.passed and check.name in _HARD for check in numbers.checks):
        return numbers
    if verdict is None:
        return replace(numbers, promote=False, waits=True)
    advice = "The numbers speak for it." if numbers.promote else "The numbers speak against it."
    reasons = (str(verdict), advice, *numbers.reasons)
    return replace(numbers, promote=verdict.approve, reasons=reasons, settled=verdict.in_time)


def _speak_for(checks: tuple[Check, ...]) -> tuple[str, ...]:
    """Return what a person wants to know of a promotion: what decided it, and the names of the other checks."""
    told = ("champion", "accuracy", "recall") if checks[-1].name == "champion" else ("comparison",)
    sentences = tuple(check.sentence for wanted in told for check in checks if check.name == wanted)
    others = [check.name for check in checks if check.name not in (*told, "withdrawal")]
    rest = list(dict.fromkeys("the recall of each class" if RECALL in each else each for each in others))
    return (*sentences, f"It also passed the checks of {', '.join(rest[:-1])} and {rest[-1]}.")
