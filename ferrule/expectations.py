"""What the data must be like before anything is made of it, as Great Expectations suites over one row an image.

The expectations are plain data (`list_checks`); only `run_checks` imports Great Expectations, which takes seconds.
A critical expectation that fails stops the workflow; a warning is told and recorded.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from ferrule.errors import ValidationError
from ferrule.samples import IMAGE_SIZE, Samples

USAGES = ("Training", "PublicTest", "PrivateTest", "Unlabelled")

_EXAMPLES = 8  # rows that an outcome names
_DIGITS = 6  # of an observed share

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Limits:
    """The limits that one may tune; shares are of all rows, from 0 to 1."""

    min_rows: int
    min_class_rows: int
    max_class_share: float
    max_blank_share: float
    max_faint_share: float
    max_conflict_share: float


@dataclass(frozen=True)
class Check:
    """One expectation: a quantity, the column it is read from, its limit in words, and what Great Expectations needs.

    `kind` names a class of great_expectations.expectations, `arguments` are its own; `batch` is the table it is held
    against: "samples", "labelled" (samples without the rows marked Unlabelled) or "classes" (one row a class).
    """

    suite: str
    quantity: str
    column: str | None
    limit: str
    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    batch: str = "samples"
    severity: Severity = "critical"


@dataclass(frozen=True)
class Outcome:
    """What came of one check; `examples` are sample ids of the first rows that break it."""

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
        return f"{self.quantity}: {self.observed}, expected {self.limit}"


@dataclass(frozen=True)
class Validation:
    """The outcomes of all checks, in their order."""

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
                f"({'; '.join(map(str, failed))}); correct the data, or the limits in the validate section of params.yaml."
            )


def validate_samples(
    samples: Samples, quality: pd.DataFrame, *, classes: tuple[str, ...], limits: Limits
) -> Validation:
    """Hold `samples` against every expectation; `quality` is what `measure_quality` gives for their images."""
    batches = build_batches(samples, quality, classes)
    usages = [name for name in USAGES if name in batches["classes"]]
    return run_checks(list_checks(classes, usages, limits), batches)


def build_batches(samples: Samples, quality: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Return the tables that checks are held against: "samples", "labelled" and "classes"."""
    facts = quality.drop(columns=quality.columns.intersection(samples.table.columns)).reset_index(drop=True)
    table = samples.table.reset_index(drop=True).join(facts)
    table["height"], table["width"] = samples.images.shape[1:]
    table["pixel_type"] = str(samples.images.dtype)
    labels_of_copies = table.groupby("pixel_hash")["label"].transform("nunique")
    table["conflicting"] = labels_of_copies > 1
    labelled = table[table["usage"].fillna("") != "Unlabelled"]
    return {"samples": table, "labelled": labelled, "classes": _count_classes(labelled, classes)}


def list_checks(classes: Sequence[str], usages: Sequence[str], limits: Limits) -> list[Check]:
    """Return all checks; `usages` are the labelled usages that the source marks."""
    return [*_null_checks(), *_format_checks(classes), *_count_checks(classes, usages, limits), *_image_checks(limits)]


def run_checks(checks: Sequence[Check], batches: Mapping[str, pd.DataFrame]) -> Validation:
    """Evaluate `checks` with Great Expectations, without network, progress bars or files.

    A check that cannot be evaluated (a column is missing) has failed, and its outcome says why.
    """
    gx = _import_quietly()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("ferrule")
    outcomes: dict[int, Outcome] = {}
    for suite, batch in dict.fromkeys((check.suite, check.batch) for check in checks):
        asset = source.add_dataframe_asset(f"{suite}-{batch}").add_batch_definition_whole_dataframe("whole")
        chosen = {n: check for n, check in enumerate(checks) if (check.suite, check.batch) == (suite, batch)}
        expectations = [_build_expectation(gx, check, number) for number, check in chosen.items()]
        results = asset.get_batch({"dataframe": batches[batch]}).validate(
            gx.ExpectationSuite(name=suite, expectations=expectations), result_format=_RESULT_FORMAT
        )
        for result in results.results:
            number = result.expectation_config.meta["number"]
            outcomes[number] = _read_outcome(chosen[number], result, batches[batch])
    return Validation(tuple(outcomes[number] for number in range(len(checks))))


def _count_classes(labelled: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return one row a class: label, rows, share, and its rows in each usage that is there.

    Rows without a usage count as Training, which is what they are used for.
    """
    usage = labelled["usage"].fillna("Training")
    counts = labelled.groupby(["label", usage]).size().unstack(fill_value=0).reindex(classes, fill_value=0)
    rows = counts.sum(axis=1)
    table = pd.DataFrame({"label": classes, "rows": rows.to_numpy(), "share": (rows / max(1, rows.sum())).to_numpy()})
    return table.join(counts.reset_index(drop=True))


def _null_checks() -> list[Check]:
    """Return the suite "nulls": what every row must have."""
    columns = {
        "sample_id": "rows without an id",
        "source_file": "rows without a source file",
        "pixel_hash": "rows without a pixel hash",
        "std": "rows without pixel statistics",
    }
    kind = "ExpectColumnValuesToNotBeNull"
    return [
        Check("nulls", "rows without a label, unless marked Unlabelled", "label", "0", kind, batch="labelled"),
        *(Check("nulls", quantity, column, "0", kind) for column, quantity in columns.items()),
    ]


def _format_checks(classes: Sequence[str]) -> list[Check]:
    """Return the suite "formats": types, sizes, ranges and vocabularies."""
    pixels, grey = IMAGE_SIZE**2, {"min_value": 0, "max_value": 255}
    within, between = "ExpectColumnValuesToBeInSet", "ExpectColumnValuesToBeBetween"
    return [
        Check("formats", "rows that share their id", "sample_id", "0", "ExpectColumnValuesToBeUnique"),
        Check(
            "formats",
            "rows that were read twice (same file and row)",
            None,
            "0",
            "ExpectCompoundColumnsToBeUnique",
            {"column_list": ["source_file", "source_row"]},
        ),
        _one_of("pixel_count", f"images without {pixels} pixels", [pixels]),
        _one_of("height", f"images not {IMAGE_SIZE} pixels high", [IMAGE_SIZE]),
        _one_of("width", f"images not {IMAGE_SIZE} pixels wide", [IMAGE_SIZE]),
        _one_of("pixel_type", "images not of type uint8", ["uint8"]),
        Check("formats", "images darker than 0", "minimum", "0", between, grey),
        Check("formats", "images brighter than 255", "maximum", "0", between, grey),
        _one_of("label", "labels outside ingest.classes", list(classes)),
    ]
