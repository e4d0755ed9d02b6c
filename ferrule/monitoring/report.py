"""The page on drift: one HTML file that needs no network and no script, light or dark as the reader's screen is."""

from collections.abc import Sequence
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from ferrule.charts.monitoring import histogram_chart, history_chart, shares_chart
from ferrule.metrics import Estimate
from ferrule.monitoring.check import Check, Performance, Result
from ferrule.monitoring.reference import VALUES
from ferrule.monitoring.windows import Window

TITLES = {
    "classes": "Predicted classes",
    "confidence": "Confidence",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "embeddings": "Embeddings",
    "accuracy": "Accuracy",
    "calibration": "Calibration",
}
_UNITS = {
    "confidence": "Confidence",
    "brightness": "Brightness (mean grey level)",
    "contrast": "Contrast (standard deviation)",
    "sharpness": "Sharpness (Laplacian variance)",
}
_NAMED_INPUTS = 5
_SHOWN_LOOKS = 200  # of each test, the newest


def render_report(
    model: str,
    check: Check,
    reference: pd.DataFrame,
    images: Window | None,
    history: pd.DataFrame,
    *,
    notes: Sequence[str] = (),
    rate: float,
    period_days: float,
) -> str:
    """Return the page of a look at `model`, a name for people; `history` are the looks so far, this one among them.

    `notes` are sentences below the verdict; `rate` and `period_days` are the false alarm rate over all looks.
    """
    environment = jinja2.Environment(loader=jinja2.PackageLoader("ferrule.monitoring", "."), autoescape=True)
    return environment.get_template("report.html").render(
        model=model,
        check=check,
        verdict=_say_verdict(check),
        notes=[*_say_accuracy(check), *notes],
        facts=_list_facts(check, images) if images else [],
        inputs=_say_inputs(images) if images else "",
        rows=[_row(result) for result in check.results],
        alpha=f"{check.alpha:.2g}",
        rate=f"{rate:.0%}",
        period=f"{period_days:g}",
        reference_rows=len(reference),
        pictures=_draw_windows(reference, images.table) if images else [],
        performance=_list_performance(check.performance) if check.performance else [],
        histories=_draw_history(history, check),
    )


def _say_verdict(check: Check) -> list[tuple[str, str]]:
    """Return each test that drifted and what changed; nothing where it is quiet."""
    return [(TITLES[result.name], result.change) for result in check.drifted]


def _say_accuracy(check: Check) -> list[str]:
    """Return what became of accuracy, if labels tell it and the verdict does not."""
    quiet = [result for result in check.results if result.name == "accuracy" and not result.drifted]
    return [f"Accuracy where labels are known: {result.change}, not beyond its limit and chance." for result in quiet]


def _list_facts(check: Check, images: Window) -> list[tuple[str, str]]:
    times = {"scored from": images.oldest, "to": images.newest}
    return [
        ("images compared", f"{check.images:,}"),
        ("scored since the last look", f"{check.new:,}"),
        *((name, f"{moment:%-d %b %H:%M}") for name, moment in times.items() if moment),
    ]


def _say_inputs(images: Window) -> str:
    """Return the inputs that most of the window came in."""
    named = [f"{source} ({count:,})" for source, count in images.inputs[:_NAMED_INPUTS]]
    others = len(images.inputs) - len(named)
    return ", ".join(named) + (f" and {others:,} more" if others else "")


def _row(result: Result) -> dict[str, Any]:
    """Return a row of the table of tests; its bar is half full where the effect is at its limit."""
    word = "drift" if result.drifted else "small" if result.significant else ""
    return {
        "result": result,
        "title": TITLES[result.name],
        "width": f"{50 * min(2.0, max(0.0, result.reach)):.0f}",
        "p_value": result.p_text,
        "word": word,
    }


def _draw_windows(reference: pd.DataFrame, window: pd.DataFrame) -> list[tuple[str, Markup]]:
    classes = [name.removeprefix("probability_") for name in reference.filter(like="probability_")]
    drawn = [("Predicted classes", shares_chart(reference["predicted"], window["predicted"], classes))]
    for name in VALUES:
        sides = (table[name].to_numpy(float) for table in (reference, window))
        drawn.append((_UNITS[name], histogram_chart(*sides, percent=name == "confidence")))
    return [(title, Markup(picture)) for title, picture in drawn]  # noqa: S704  # drawn from numbers and class names


def _list_performance(performance: Performance) -> list[tuple[str, str, str]]:
    gap = 100 * (performance.confidence - performance.accuracy.value)
    return [
        ("labelled images", f"{performance.labelled:,}", ""),
        ("accuracy", f"{performance.accuracy.value:.1%}", _say_interval(performance.accuracy)),
        ("on validation images", f"{performance.reference_accuracy:.1%}", ""),
        ("mean confidence", f"{performance.confidence:.1%}", f"{gap:+.1f} points against accuracy"),
        (
            "calibration error",
            f"{performance.calibration_error.value:.1%}",
            _say_interval(performance.calibration_error),
        ),
    ]


def _draw_history(history: pd.DataFrame, check: Check) -> list[tuple[str, Markup]]:
    results = {result.name: result for result in check.results}
    drawn = []
    for name, looks in history.groupby("name", sort=False).tail(_SHOWN_LOOKS).groupby("name", sort=False):
        result = results.get(str(name))
        if result:
            moments, drifted = [moment.to_pydatetime() for moment in looks["moment"]], list(looks["drifted"])
            picture = history_chart(moments, list(looks["effect"]), drifted, limit=result.limit, chance=result.chance)
            drawn.append((TITLES[result.name], Markup(picture)))  # noqa: S704  # drawn from numbers
    return drawn


def _say_interval(estimate: Estimate) -> str:
    return f"{estimate.low:.1%} to {estimate.high:.1%}"
