"""Damage: why one row or file cannot be read, and the table of all such rejects."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ferrule.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# Every reason a reject can have; few and fixed, so that they can be counted. What is particular goes into the detail.
REASONS = (
    "wrong number of columns",
    "broken quotes",
    "repeated header",
    "null label",
    "unknown label",
    "unknown usage",
    "null pixels",
    "not a number",
    "wrong pixel count",
    "out of range",
    "not an image",
    "truncated image",
    "damaged image",
    "image too large",
    "image too small",
    "unreadable file",
)

MANY_REJECTS = 100_000  # with so many, one does not read on before looking at their share


class DamageError(Exception):
    """One row or file is damaged; whoever reads many catches this and goes on. `reason` is one of REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Reject(NamedTuple):
    """A row that was not read: its file, its number (1 is the first data row; 0 for an image file), and why."""

    file: str
    row: int
    reason: str
    detail: str


def tabulate_rejects(rejects: Sequence[Reject]) -> "pd.DataFrame":
    """Return the rejects as a table of the columns file, row, reason, detail, in the order given."""
    import pandas as pd

    return pd.DataFrame(
        {
            "file": pd.array([reject.file for reject in rejects], dtype="str"),
            "row": pd.array([reject.row for reject in rejects], dtype="int64"),
            "reason": pd.array([reject.reason for reject in rejects], dtype="str"),
            "detail": pd.array([reject.detail for reject in rejects], dtype="str"),
        }
    )


def check_reject_fraction(rejects: Sequence[Reject], rows: int, limit: float) -> None:
    """Raise DataError, with the commonest reasons and an example each, if more than `limit` (a share) are rejects."""
    if not rejects or len(rejects) <= limit * rows:
        return
    examples = {reject.reason: reject for reject in reversed(rejects)}
    counts = Counter(reject.reason for reject in rejects).most_common(3)
    found = "; ".join(f"{count:,} × {reason} (such as {_place(examples[reason])})" for reason, count in counts)
    raise DataError(
        f"Expected at most {limit:.3g} of the rows to be unreadable; got {len(rejects):,} of {rows:,}: {found}; "
        "correct the data, or raise ingest.max_reject_fraction."
    )


def _place(reject: Reject) -> str:
    row = f" row {reject.row}" if reject.row else ""
    return f"{reject.file}{row}: {reject.detail}"
