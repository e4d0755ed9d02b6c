"""What came of a validation: one outcome an expectation, the record that is kept of them, and the verdict."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ferrule.errors import ValidationError

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Outcome:
    """What came of one expectation: a quantity, what was observed and what was expected of it.

    `expectation` is its type in Great Expectations; `examples` are the sample ids of the first rows that break it.
    """

    suite: str
    expectation: str
    column: str | None
    quantity: str
    severity: Severity
    success: bool
    observed: int | float | str
    limit: str
    examples: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.quantity}: {self.observed_text}, expected {self.limit}"

    @property
    def observed_text(self) -> str:
        """The observed value for a reader: 35,887 rather than 35887."""
        return f"{self.observed:,}" if isinstance(self.observed, int) else str(self.observed)


@dataclass(frozen=True)
class Validation:
    """The outcomes of all expectations, suite by suite."""

    outcomes: tuple[Outcome, ...]

    def failed(self, severity: Severity) -> list[Outcome]:
        """Return the outcomes of this severity that failed."""
        return [outcome for outcome in self.outcomes if outcome.severity == severity and not outcome.success]

    def to_dict(self) -> dict[str, Any]:
        """Return what result.json holds; it follows from the data and the limits alone."""
        critical = len(self.failed("critical"))
        return {
            "success": critical == 0,
            "critical_failed": critical,
            "warnings": len(self.failed("warning")),
            "evaluated": len(self.outcomes),
            "expectations": [asdict(outcome) for outcome in self.outcomes],
        }

    def require_success(self) -> None:
        """Raise ValidationError that names each critical failure with what was observed and expected."""
        if failed := self.failed("critical"):
            raise ValidationError(
                f"Expected no critical failure among {len(self.outcomes)} expectations; got {len(failed)} "
                f"({'; '.join(map(str, failed))}); correct the data, or the limits in the validate section of "
                "params.yaml."
            )
