"""Servers: whether MLflow's and Prefect's answer, agree on the time and the version, and whether schedules can run."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx

from ferrule.errors import FerruleError
from ferrule.store import is_server, store_uri
from flows.checks import Finding

TIMEOUT = 3.0  # seconds
CLOCK_TOLERANCE = 60.0  # seconds; a schedule's finest step is a minute
PREFECT_VARIABLE = "PREFECT_API_URL"
MLFLOW_VARIABLE = "MLFLOW_TRACKING_URI"
MLFLOW_API = "api/2.0/mlflow"


@dataclass(frozen=True)
class Schedule:
    """A deployment as the server knows it: what runs it, when (cron and time zone), and how many runs are late.

    It can be paused as a whole, and each of its schedules by itself: `stopped` are the ids of those.
    """

    name: str
    pool: str | None
    paused: bool = False
    stopped: tuple[str, ...] = ()
    times: tuple[tuple[str, str], ...] = ()
    late: int = 0


def check_mlflow(root: Path) -> list[Finding]:
    """See that the MLflow server that MLFLOW_TRACKING_URI names answers, by the same clock."""
    uri = store_uri(root)
    return _check_server("MLflow", MLFLOW_VARIABLE, uri, f"{uri}/health") if is_server(uri) else []


def check_prefect(root: Path) -> list[Finding]:
    """See that the Prefect server that PREFECT_API_URL names answers, by the same clock and of our version."""
    uri = os.environ.get(PREFECT_VARIABLE, "")
    if not uri:
        return []
    findings = _check_server("Prefect", PREFECT_VARIABLE, uri, f"{uri.rstrip('/')}/health")
    return findings if findings else _compare_prefect(f"{uri.rstrip('/')}/admin/version")


def check_schedules(root: Path) -> list[Finding]:
    """See that what prefect.yaml schedules is known to the server, not paused, not late, and has a worker."""
    if not os.environ.get(PREFECT_VARIABLE) or any(f.severity == "error" for f in check_prefect(root)):
        return []
    from flows.deployments import read_names

    try:
        names, (schedules, online) = read_names(root), read_schedules(root)
    except FerruleError as error:
        return [Finding("warning", f"The schedules could not be read: {error}", "ferrule deploy")]
    zone = datetime.now().astimezone().tzinfo or UTC
    return judge_schedules(names, schedules, online) + compare_zones(schedules, zone)


def judge_schedules(names: Iterable[str], schedules: list[Schedule], online: Mapping[str, int]) -> list[Finding]:
    """Return what keeps the deployments `names` from running; `online` counts the workers of each pool."""
    known = {schedule.name for schedule in schedules}
    findings = []
    if absent := [name for name in names if name not in known]:
        sentence = f"The Prefect server does not know {', '.join(absent)} of prefect.yaml."
        findings.append(Finding("warning", sentence, "ferrule deploy"))
    for pool in sorted({schedule.pool for schedule in schedules if schedule.pool}):
        if not online.get(pool):
            sentence = f"No worker of the pool {pool} is online, so that nothing that is scheduled runs."
            findings.append(Finding("error", sentence, f"prefect worker start --pool {pool}"))
    for schedule in schedules:
        if schedule.paused:
            findings.append(Finding("warning", f"The deployment {schedule.name} is paused.", "ferrule deploy"))
        for one in schedule.stopped:
            remedy = f"prefect deployment schedule resume {schedule.name}/{schedule.name} {one}"
            findings.append(Finding("warning", f"A schedule of {schedule.name} is paused.", remedy))
        if schedule.late:
            sentence = (
                f"{schedule.late} run{'s' * (schedule.late > 1)} of {schedule.name} should have begun and did not."
            )
            findings.append(Finding("warning", sentence, "prefect flow-run ls --state Late"))
    return findings


def compare_zones(schedules: list[Schedule], here: tzinfo) -> list[Finding]:
    """Return a note on schedules whose clock is not this machine's: a cron of 3 o'clock is then not 3 o'clock here."""
    now = datetime.now(UTC)
    other = {
        f"{schedule.name} ({cron} in {zone})"
        for schedule in schedules
        for cron, zone in schedule.times
        if now.astimezone(ZoneInfo(zone)).utcoffset() != now.astimezone(here).utcoffset()
    }
    if not other:
        return []
    sentence = f"Other clocks than this machine's ({now.astimezone(here):%Z}) count for {', '.join(sorted(other))}."
    return [Finding("note", sentence, "ferrule deploy   # after a change of `timezone` in prefect.yaml")]


def compare_clocks(name: str, header: str | None, now: datetime) -> list[Finding]:
    """Compare a server's `Date` header with the time here; runs come early or late by the difference."""
    try:
        apart = (parsedate_to_datetime(header or "") - now).total_seconds()
    except (ValueError, TypeError):
        return []
    if abs(apart) <= CLOCK_TOLERANCE:
        return []
    sentence = (
        f"The clock of the {name} server is {abs(apart):,.0f} seconds {'ahead of' if apart > 0 else 'behind'} this."
    )
    return [Finding("warning", sentence, "timedatectl set-ntp true   # on the machine whose clock is wrong")]


def read_schedules(root: Path) -> tuple[list[Schedule], dict[str, int]]:
    """Return the deployments of prefect.yaml that the server has, and how many workers of each pool are online.

    Raises WorkflowError where the server does not agree.
    """
    from prefect.client.schemas import filters

    from flows.deployments import asking_server, read_deployed, read_online

    late = filters.FlowRunFilter(state=filters.FlowRunFilterState(name=filters.FlowRunFilterStateName(any_=["Late"])))
    with asking_server() as client:
        schedules = [
            Schedule(
                name=found.name,
                pool=found.work_pool_name,
                paused=found.paused,
                stopped=tuple(str(schedule.id) for schedule in found.schedules if not schedule.active),
                times=tuple(_read_time(schedule.schedule) for schedule in found.schedules),
                late=client.count_flow_runs(
                    flow_run_filter=late,
                    deployment_filter=filters.DeploymentFilter(id=filters.DeploymentFilterId(any_=[found.id])),
                ),
            )
            for found in read_deployed(client, root).values()
        ]
        pools = {schedule.pool for schedule in schedules if schedule.pool}
        return schedules, {pool: len(read_online(client, pool)) for pool in pools}


def ask_mlflow(root: Path, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return what MLflow's server answers to a GET of its API; nothing where it does not or has no such thing."""
    user, token = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_TOKEN")
    login = httpx.BasicAuth(user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None
    headers = {"Authorization": f"Bearer {token}"} if token and not user else {}
    try:
        address = f"{store_uri(root)}/{MLFLOW_API}/{path}"
        answer = httpx.get(address, params=dict(parameters), auth=login, headers=headers, timeout=TIMEOUT)
        return answer.json() if answer.is_success else {}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return {}


def _check_server(name: str, variable: str, uri: str, health: str) -> list[Finding]:
    try:
        answer = httpx.get(health, timeout=TIMEOUT)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        reason = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else str(error)
        place = urlsplit(uri).hostname or "an address that is none"  # without a password that stands in it
        sentence = f"The {name} server that {variable} names ({place}) does not answer: {reason}."
        return [Finding("error", sentence, f"unset {variable}   # or start it")]
    return compare_clocks(name, answer.headers.get("Date"), datetime.now(UTC))


def _compare_prefect(address: str) -> list[Finding]:
    try:
        theirs, ours = str(httpx.get(address, timeout=TIMEOUT).raise_for_status().json()), version("prefect")
    except (httpx.HTTPError, ValueError):  # it asks for a key, perhaps
        return []
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return []
    sentence = f"The Prefect server is of version {theirs}, and what is installed here of {ours}."
    return [Finding("warning", sentence, f"pip install prefect=={theirs}")]


def _read_time(schedule: Any) -> tuple[str, str]:
    """Return a schedule's rule, and the time zone it is in: UTC where it says none."""
    rule = getattr(schedule, "cron", None) or getattr(schedule, "rrule", None) or f"every {schedule.interval}"
    return rule, getattr(schedule, "timezone", None) or "UTC"
