"""Shares and scores in words, Markdown tables, and documents into which a command writes them, between two marks."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ferrule.errors import WorkflowError


def say_share(share: float, digits: int = 1) -> str:
    """Return a share as "92.4 %"."""
    return f"{100 * share:.{digits}f} %"


def say_score(estimate: Mapping[str, Any]) -> str:
    """Return a share, `value`, with its interval, `low` to `high`, as "68.5 % (66.9 to 70.0)"."""
    value, low, high = (100 * estimate[part] for part in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def say_spread(shares: Sequence[float]) -> str:
    """Return the mean of shares as "62.9% ± 0.4": what follows is their standard deviation, where there are several."""
    spread = f" ± {100 * stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{mean(shares):.1%}{spread}"


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def write_between(document: Path, begin: str, end: str, content: str) -> None:
    """Replace what stands between the lines `begin` and `end` of `document` by `content`.

    Raises WorkflowError, and changes nothing, where the marks are missing.
    """
    before, after = split_at_marks(document, begin, end)
    document.write_text(f"{before}{begin}\n\n{content}\n\n{end}{after}", encoding="utf-8")


def split_at_marks(document: Path, begin: str, end: str) -> tuple[str, str]:
    """Return what stands before `begin` and after `end`; raises WorkflowError where the marks are missing."""
    text = document.read_text(encoding="utf-8") if document.is_file() else ""
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise WorkflowError(
            f"Expected the lines {begin!r} and {end!r} in {document}; add them where the table belongs."
        )
    return before, after
