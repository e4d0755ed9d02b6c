"""Tables that a command writes into a Markdown document, between two marks."""

from pathlib import Path

from ferrule.errors import WorkflowError


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
