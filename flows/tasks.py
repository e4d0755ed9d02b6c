"""The one task of the training flow: a DVC stage. DVC decides whether it runs; Prefect decides when, and retries."""

import errno
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from ferrule.errors import WorkflowError
from ferrule.tracking import FLOW_VARIABLE
from flows.project import run_dvc

RETRIES = 2
RETRY_DELAY = 10  # seconds

# What a failed stage prints when the network, or a server across it, was at fault; nothing else is worth a retry.
_TRANSIENT = re.compile(
    r"ConnectionError|ConnectionRefused|ConnectionReset|Max retries exceeded|Temporary failure in name resolution"
    r"|timed out|EndpointConnectionError|503 Service Unavailable|database is locked|is busy, it is being blocked by"
)

# What a file server across a network says when it is away for a moment.
_PASSING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH}

# What DVC says after each stage, ten times a run: what it always does, and what one might do next.
_HINT = re.compile(
    r"\s*(To track the changes|git add|To enable auto|dvc config|Use `dvc push`|(Updating|Generating) lock)"
)


@dataclass(frozen=True)
class StageRun:
    """What became of a stage: `outcome` is ran, restored (its outputs came from DVC's cache) or unchanged."""

    stage: str
    outcome: str
    seconds: float


def is_transient(task: Any, task_run: Any, state: Any) -> bool:
    """Tell Prefect to retry: only where a network, or a server across it, was at fault."""
    error = state.result(raise_on_failure=False)
    while isinstance(error, BaseException):
        if isinstance(error, ConnectionError | TimeoutError) or getattr(error, "errno", None) in _PASSING:
            return True
        if _TRANSIENT.search(str(error)):
            return True
        error = error.__cause__
    return False


# Options of a task that is worth trying again where a network was at fault, and never to be cached.
PATIENT: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": RETRIES,
    "retry_delay_seconds": RETRY_DELAY,
    "retry_condition_fn": is_transient,
}


@task(task_run_name="{stage}", **PATIENT)
def run_stage(stage: str, root: Path) -> StageRun:
    """Run one stage of dvc.yaml if it must; its lines go to the run's log as they come.

    Raises WorkflowError with the stage's name and its last lines.
    """
    logger = get_run_logger()
    start = time.monotonic()
    try:
        printed = run_dvc(
            root,
            "--wait-for-lock",  # stages run side by side
            "repro",
            "--single-item",
            stage,
            on_line=lambda line: None if _HINT.match(line) else logger.info(line),
            variables={FLOW_VARIABLE: str(flow_run.get_id() or "")},
        )
    except WorkflowError as error:
        raise WorkflowError(f"Stage {stage} failed: {error}") from error
    return StageRun(stage, _read_outcome(printed), time.monotonic() - start)


def _read_outcome(printed: str) -> str:
    if "Running stage" in printed:
        return "ran"
    return "restored" if "is cached - skipping run" in printed else "unchanged"
