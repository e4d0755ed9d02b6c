"""What the data must be like before anything is made of it, as Great Expectations suites over one row an image.

The expectations are plain data (`list_checks`); only `run_checks` imports Great Expectations, which takes seconds.
A critical expectation that fails stops the workflow; a warning is told and recorded.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from ferrule.samples import IMAGE_SIZE, Samples
from ferrule.validation import Outcome, Severity, Validation

USAGES = ("Training", "PublicTest", "PrivateTest", "Unlabelled")

_EXAMPLES = 8  # rows that an outcome names
_DIGITS = 6  # of an observed share

Batch = Literal["samples", "labelled", "classes"]


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
    batch: Batch = "samples"
    severity: Severity = "critical"


def build_batches(samples: Samples, quality: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Return the tables that checks are held against: "samples", "labelled" and "classes".

    `quality` is what `measure_quality` gives for the images of `samples`, row by row.
    """
    table = samples.table.reset_index(drop=True).join(quality.reset_index(drop=True))
    table["conflicting"] = table.groupby("pixel_hash")["label"].transform("nunique") > 1
    labelled = table[table["usage"].fillna("") != "Unlabelled"]
    return {"samples": table, "labelled": labelled, "classes": _count_classes(labelled, classes)}


def validate_batches(batches: Mapping[str, pd.DataFrame], *, classes: tuple[str, ...], limits: Limits) -> Validation:
    """Hold the tables of `build_batches` against every expectation that applies to them."""
    usages = [name for name in USAGES if name in batches["classes"]]
    return run_checks(list_checks(classes, usages, limits), batches)


def list_checks(classes: Sequence[str], usages: Sequence[str], limits: Limits) -> list[Check]:
    """Return the suites nulls, formats, value counts and images; `usages` are those with labels in the source."""
    return [*_null_checks(), *_format_checks(classes), *_count_checks(classes, usages, limits), *_image_checks(limits)]


def run_checks(checks: Sequence[Check], batches: Mapping[str, pd.DataFrame]) -> Validation:
    """Evaluate `checks` with Great Expectations, without network, files or progress bars.

    A check that cannot be evaluated, because its column is missing for one, has failed; its outcome says why.
    """
    gx = _import_quietly()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("ferrule")
    outcomes: dict[int, Outcome] = {}
    for suite, batch in dict.fromkeys((check.suite, check.batch) for check in checks):
        asset = source.add_dataframe_asset(f"{suite}: {batch}").add_batch_definition_whole_dataframe("all rows")
        expectations = [
            _build_expectation(gx, check, number)
            for number, check in enumerate(checks)
            if (check.suite, check.batch) == (suite, batch)
        ]
        results = asset.get_batch({"dataframe": batches[batch]}).validate(
            gx.ExpectationSuite(name=suite, expectations=expectations),
            result_format={
                "result_format": "SUMMARY",
                "partial_unexpected_count": _EXAMPLES,
                **({} if batch == "classes" else {"unexpected_index_column_names": ["sample_id"]}),
            },
        )
        for result in results.results:
            number = result.expectation_config.meta["number"]
            outcomes[number] = _read_outcome(checks[number], result, batches[batch])
    return Validation(tuple(outcomes[number] for number in range(len(checks))))


def _count_classes(labelled: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return one row a class: `label`, its rows in each usage that has any, `rows` in all, and their `share`.

    Rows without a usage count as Training, since they may be trained on; there is always a column Training.
    """
    usage = labelled["usage"].fillna("Training")
    counts = labelled.groupby(["label", usage]).size().unstack(fill_value=0).reindex(list(classes), fill_value=0)
    usages = [name for name in USAGES if name in counts or name == "Training"]
    rows = counts.sum(axis=1)
    table = counts.reindex(columns=usages, fill_value=0)
    table.insert(0, "label", list(classes))
    return table.assign(rows=rows, share=rows / max(1, rows.sum())).reset_index(drop=True)


def _null_checks() -> list[Check]:
    """Return the suite "nulls": what every row must have."""
    columns = {
        "sample_id": "an id",
        "source_file": "a source file",
        "pixel_hash": "a pixel hash",
        "std": "pixel statistics",
    }
    kind = "ExpectColumnValuesToNotBeNull"
    return [
        _no_rows("nulls", "rows without a label that are not marked Unlabelled", "label", kind, batch="labelled"),
        *(_no_rows("nulls", f"rows without {name}", column, kind) for column, name in columns.items()),
    ]


def _format_checks(classes: Sequence[str]) -> list[Check]:
    """Return the suite "formats": identity, sizes, types, ranges and vocabularies, row by row."""
    pixels = IMAGE_SIZE**2
    allowed = {
        "pixel_count": (f"images without {pixels} pixels", [pixels]),
        "height": (f"images not {IMAGE_SIZE} pixels high", [IMAGE_SIZE]),
        "width": (f"images not {IMAGE_SIZE} pixels wide", [IMAGE_SIZE]),
        "dtype": ("images not of type uint8", ["uint8"]),
        "label": ("rows with a label outside ingest.classes", list(classes)),
        "usage": ("rows with an unknown usage", list(USAGES)),
    }
    extremes = {"minimum": "darkest", "maximum": "brightest"}
    place = ["source_file", "source_row"]
    return [
        _no_rows("formats", "rows that share their id", "sample_id", "ExpectColumnValuesToBeUnique"),
        _no_rows("formats", "rows read twice", None, "ExpectCompoundColumnsToBeUnique", column_list=place),
        *(
            _no_rows("formats", what, column, "ExpectColumnValuesToBeInSet", value_set=values)
            for column, (what, values) in allowed.items()
        ),
        *(
            _no_rows(
                "formats",
                f"images whose {name} pixel is outside 0-255",
                column,
                "ExpectColumnValuesToBeBetween",
                min_value=0,
                max_value=255,
            )
            for column, name in extremes.items()
        ),
    ]


def _count_checks(classes: Sequence[str], usages: Sequence[str], limits: Limits) -> list[Check]:
    """Return the suite "value counts": how many rows there are, in all, of each class and in each usage.

    A class without training rows cannot be learnt; one without held-out rows only goes unmeasured.
    """

    def bounded(quantity: str, column: str | None, kind: str, severity: Severity = "critical", **bound: float) -> Check:
        ((name, value),) = bound.items()
        limit = f"at {'least' if name == 'min_value' else 'most'} {value:,}"
        return Check("value counts", quantity, column, limit, kind, bound, "classes" if column else "samples", severity)

    smallest, largest = "ExpectColumnMinToBeBetween", "ExpectColumnMaxToBeBetween"
    same_set = Check(
        "value counts",
        "classes that have rows",
        "label",
        ", ".join(sorted(classes)),
        "ExpectColumnDistinctValuesToEqualSet",
        {"value_set": list(classes)},
    )
    return [
        bounded("rows", None, "ExpectTableRowCountToBeBetween", min_value=limits.min_rows),
        same_set,
        bounded("rows of the smallest class", "rows", smallest, min_value=limits.min_class_rows),
        bounded("share of the largest class", "share", largest, max_value=limits.max_class_share),
        *(
            bounded(
                f"{usage} rows of the class with fewest",
                usage,
                smallest,
                "critical" if usage == "Training" else "warning",
                min_value=1,
            )
            for usage in usages
        ),
    ]


def _image_checks(limits: Limits) -> list[Check]:
    """Return the suite "images": shares of images that teach nothing, or teach two things at once."""
    shares: list[tuple[str, str, float, Severity]] = [
        ("blank", "share of images in one grey", limits.max_blank_share, "critical"),
        ("faint", "share of images with hardly any contrast", limits.max_faint_share, "warning"),
        ("conflicting", "share of rows whose exact copy has another label", limits.max_conflict_share, "warning"),
    ]
    return [
        Check(
            "images",
            quantity,
            column,
            f"at most {limit}",
            "ExpectColumnValuesToBeInSet",
            # Rounded, so that 1 - 0.1 does not ask for more than nine tenths.
            {"value_set": [False], "mostly": round(1 - limit, 9)},
            severity=severity,
        )
        for column, quantity, limit, severity in shares
    ]


def _no_rows(
    suite: str, quantity: str, column: str | None, kind: str, batch: Batch = "samples", **arguments: Any
) -> Check:
    """Return a critical check that no row may break."""
    return Check(suite, quantity, column, "0", kind, arguments, batch)


def _import_quietly() -> Any:
    """Import Great Expectations with its telemetry off, which it reads from the environment when it is imported."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    return great_expectations


def _build_expectation(gx: Any, check: Check, number: int) -> Any:
    """Return the Great Expectations object of a check; its results come back in another order, so it is numbered."""
    column = {"column": check.column} if check.column else {}
    kind = getattr(gx.expectations, check.kind)
    return kind(
        **column, **check.arguments, severity=check.severity, description=check.quantity, meta={"number": number}
    )


def _read_outcome(check: Check, result: Any, batch: pd.DataFrame) -> Outcome:
    """Return what `result` says of `check`."""
    rows = result.result.get("partial_unexpected_index_list") or []
    return Outcome(
        suite=check.suite,
        expectation=result.expectation_config.type,
        column=check.column,
        quantity=check.quantity,
        severity=check.severity,
        success=bool(result.success),
        observed=_read_observed(check, result, batch),
        limit=check.limit,
        examples=tuple(int(row["sample_id"]) for row in rows if pd.notna(row["sample_id"])),
    )


def _read_observed(check: Check, result: Any, batch: pd.DataFrame) -> int | float | str:
    """Return a count of rows, a share of rows, an aggregate or a list of names, as the check's quantity has it."""
    facts = result.result
    if not facts:
        return "not evaluated: " + _read_exception(result.exception_info)
    if "element_count" in facts:
        rows, broken = int(facts["element_count"]), int(facts["unexpected_count"])
        return round(broken / max(1, rows), _DIGITS) if "mostly" in check.arguments else broken
    if "Distinct" in check.kind:
        return ", ".join(sorted(batch[check.column].dropna().unique()))
    value = facts["observed_value"]
    if value is None:
        return "nothing"
    return int(value) if value == int(value) else round(float(value), _DIGITS)


def _read_exception(information: Mapping[str, Any]) -> str:
    """Return the last line of the first exception that Great Expectations caught."""
    details = information if "exception_message" in information else next(iter(information.values()), {})
    return " ".join(str(details.get("exception_message") or "no reason given").split())
