"""The checks of `ferrule doctor`: each looks at one subject, changes nothing, and returns what it found wrong."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # the worst first


@dataclass(frozen=True)
class Finding:
    """What is wrong, in one sentence, and what puts it right: a command where there is one.

    An error stops work or makes its result wrong; a warning will, or hides something; a note is good to know.
    """

    severity: Severity
    sentence: str
    remedy: str = ""
