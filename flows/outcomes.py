"""What became of the inputs of a scoring: scored, known, a copy, busy or failed, and what is told of it."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferrule.errors import FerruleError, WorkflowError
from ferrule.layouts.streaming import digest_input
from ferrule.scoring.score import WORK
from ferrule.scoring.scored import FOLDER, NAME_DIGITS, ScoredInput
from flows.notifications import report_failure

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import State

_FAILED = "failed"  # in WORK: marks of inputs that failed
_NAMED = 5  # inputs, in the sentence of a run that failed


@dataclass(frozen=True)
class InputRun:
    """What became of an input: `outcome` is one of these.

    scored; known (an earlier run's scoring stands); copy (of another input of this run); busy (another run has it); or
    failed. `told` is what its file of predictions says, `reason` why there is none of its own. `failed_before` tells
    that the same content failed in an earlier run.
    """

    source: str
    outcome: str
    seconds: float = 0.0
    told: ScoredInput | None = None
    reason: str = ""
    failed_before: bool = False


class IncompleteError(WorkflowError):
    """Some inputs could not be scored; `runs` has what became of all, and `new` those that did not fail before."""

    def __init__(self, runs: list[InputRun]) -> None:
        failed = [run for run in runs if run.outcome == "failed"]
        self.runs, self.new = runs, [run for run in failed if not run.failed_before]
        still = [run for run in failed if run.failed_before]
        named = [f"{word}: {_name_some(some)}" for word, some in (("new", self.new), ("still", still)) if some]
        first = (self.new or still)[0]
        super().__init__(
            f"Expected to score {len(runs)} inputs; {len(failed)} failed ({'; '.join(named)}); the first, "
            f"{first.source}: {first.reason}"
        )


def report_news(flow: "Flow", flow_run: "FlowRun", state: "State") -> None:
    """Tell, as a hook of the flow, that a run failed, unless by nothing but inputs that failed before."""
    error = state.result(raise_on_failure=False)
    if not isinstance(error, IncompleteError) or error.new:
        report_failure(flow, flow_run, state)


def mark_copy(run: InputRun, earlier: list[InputRun]) -> InputRun:
    """Return a known input as the copy of one of this run, where it is that."""
    if run.outcome != "known" or run.told is None:
        return run
    for one in earlier:
        if one.outcome == "scored" and one.told and one.told.input_sha256 == run.told.input_sha256:
            return replace(run, outcome="copy", reason=f"same as {one.source}")
    return run


def mark_failures(root: Path, inputs: Sequence[Path], runs: Sequence[InputRun]) -> list[InputRun]:
    """Return the runs of `inputs`, those told apart that failed before, and keep what failed for the next time.

    An input that failed leaves an empty file named after its content, which goes once that is scored.
    """
    marks = [_find_mark(root, path, run) for path, run in zip(inputs, runs, strict=True)]
    told = [replace(run, failed_before=mark.exists()) for mark, run in zip(marks, runs, strict=True)]
    for mark, run in zip(marks, runs, strict=True):
        if run.outcome == "failed":
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        elif run.told:
            mark.unlink(missing_ok=True)
    return told


def tabulate_input(run: InputRun) -> dict[str, Any]:
    """Return a row of the table of inputs in Prefect's UI."""
    told = run.told if run.outcome == "scored" else None
    counts = (told.images, told.answered, told.images - told.answered, told.rejects) if told else ("", "", "", "")
    columns = dict(zip(("images", "answered", "abstained", "rejects"), counts, strict=True))
    return {"input": run.source, "outcome": run.outcome, **columns, "reason": run.reason}


def _find_mark(root: Path, path: Path, run: InputRun) -> Path:
    """Return where the mark of a failed input is; what cannot be read, as an empty folder, goes by its path."""
    try:
        digest = run.told.input_sha256 if run.told else digest_input(path)
    except (FerruleError, OSError):
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    return root / FOLDER / WORK / _FAILED / digest[:NAME_DIGITS]


def _name_some(runs: list[InputRun]) -> str:
    """Return the names of some inputs, and how many more there are."""
    more = len(runs) - _NAMED
    return ", ".join(run.source for run in runs[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
