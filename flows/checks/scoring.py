"""What was scored: whether the files of predictions and labels can be read; one that cannot stops all monitoring."""

import shlex
from pathlib import Path

from ferrule.scoring.scored import find_damaged
from flows.checks import Finding


def check_scoring(root: Path) -> list[Finding]:
    """See that each file of predictions and of labels can be read."""
    damaged = [path.relative_to(root).as_posix() for path in find_damaged(root)]
    told = "cannot be read, which stops monitoring; without it, its input is scored, or its labels added, again."
    return [Finding("error", f"{path} {told}", f"rm {shlex.quote(path)}") for path in damaged]
