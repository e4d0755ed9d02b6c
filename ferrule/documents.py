"""Markdown tables, and documents into which a command writes them, between two marks."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ferrule.errors import WorkflowError


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
