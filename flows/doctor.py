"""`ferrule doctor`: every check there is, side by side; it starts nothing and changes nothing."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.checks import SEVERITIES, Finding
from flows.checks.data import check_commits, check_data, check_stages
from flows.checks.disk import check_cache, check_checkpoints, check_room
from flows.checks.processes import check_holds, check_leftovers, check_lock_files
from flows.checks.scoring import check_scoring
from flows.checks.servers import check_mlflow, check_prefect, check_schedules
from flows.checks.settings import (
    check_backend,
    check_dag,
    check_params,
    check_secrets,
    check_telemetry,
    check_webhook,
)
from flows.checks.store import check_aliases, check_database, check_experiment, check_files, check_promotions
from flows.checks.versions import check_lock, check_packages, check_python

Check = Callable[[Path], list[Finding]]

CHECKS: tuple[Check, ...] = (
    check_python,
    check_packages,
    check_lock,
    check_params,
    check_dag,
    check_backend,
    check_telemetry,
    check_secrets,
    check_webhook,
    check_data,
    check_stages,
    check_commits,
    check_database,
    check_experiment,
    check_aliases,
    check_files,
    check_promotions,
    check_scoring,
    check_holds,
    check_lock_files,
    check_leftovers,
    check_room,
    check_cache,
    check_checkpoints,
    check_mlflow,
    check_prefect,
    check_schedules,
)


@dataclass(frozen=True)
class Diagnosis:
    """What every check found, as (subject, finding), the worst first."""

    findings: tuple[tuple[str, Finding], ...]

    def count(self, severity: str) -> int:
        """Return how many findings are of that severity."""
        return sum(finding.severity == severity for _, finding in self.findings)

    def is_sound(self, strict: bool = False) -> bool:
        """Tell whether there is no error, and, where it is `strict`, no warning."""
        return not self.count("error") and not (strict and self.count("warning"))

    def as_json(self) -> str:
        """Return all findings and how many there are of each severity, for scripts."""
        counts = {f"{severity}s": self.count(severity) for severity in SEVERITIES}
        listed = [{"subject": subject} | asdict(finding) for subject, finding in self.findings]
        return json.dumps({"checks": len(CHECKS), **counts, "findings": listed}, indent=2)

    def as_text(self) -> str:
        """Return each finding with its remedy below it, and a line that sums up."""
        lines = [f"{f.severity:8} {subject}: {f.sentence}\n{'':9}-> {f.remedy}" for subject, f in self.findings]
        counts = ", ".join(f"{self.count(s)} {s}{'s' * (self.count(s) != 1)}" for s in SEVERITIES)
        return "\n".join([*lines, f"{len(CHECKS)} checks: {counts}."])


def examine(root: Path) -> Diagnosis:
    """Make every check of the project in `root`, side by side, since most wait for a file, a process or a server."""
    with ThreadPoolExecutor(len(CHECKS)) as pool:
        found = list(pool.map(lambda check: _make(check, root), CHECKS))
    named = [(name_subject(check), finding) for check, some in zip(CHECKS, found, strict=True) for finding in some]
    return Diagnosis(tuple(sorted(named, key=lambda pair: SEVERITIES.index(pair[1].severity))))


def name_subject(check: Check) -> str:
    """Return what a check is about, by its name."""
    return check.__name__.removeprefix("check_").replace("_", " ")


def _make(check: Check, root: Path) -> list[Finding]:
    """Return what a check found; one that fails itself is a finding too, so that the others are still heard."""
    try:
        return check(root)
    except Exception as error:  # any: what is broken here may be what the check relies on
        sentence = f"This could not be checked: {type(error).__name__}: {' '.join(str(error).split())}"
        return [Finding("error", sentence, "ferrule --debug doctor")]
