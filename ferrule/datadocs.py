"""The data docs of a validation: one HTML page that needs no network, no script and no other file.

Great Expectations builds a site of its own, but its pages load styles and scripts from eight servers (offline they are
bare text), take 4 MB and carry the time of the run. This page is made from the same outcomes, has the same bytes for
the same data, and shows the images that an expectation speaks of.
"""

from base64 import b64encode
from html import escape
from itertools import groupby

import cv2
import numpy as np
import pandas as pd

from ferrule.samples import Samples
from ferrule.validation import Outcome, Validation

_STYLE = """
:root { --ink: #1b1f24; --muted: #5b6570; --grid: #e3e7eb; --paper: #fff; --good: #1a7f4b; --bad: #c1440e;
  --bar: #0b5c8a; color-scheme: light dark }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --muted: #9aa5af; --grid: #333a41; --paper: #14181c;
  --good: #4cc38a; --bad: #f0824f; --bar: #5aa9d6 } }
body { font: 15px/1.5 system-ui, "Segoe UI", sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2.5rem auto; padding: 0 1.25rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem }
.verdict { font-size: 1.1rem; margin: .2rem 0 0 } .muted { color: var(--muted) }
table { border-collapse: collapse; width: 100% } table.suite { table-layout: fixed }
th { text-align: left; font-weight: 500; color: var(--muted) }
th, td { padding: .4rem 1.2rem .4rem 0; border-bottom: 1px solid var(--grid); vertical-align: top }
.number { text-align: right; font-variant-numeric: tabular-nums } code { font-size: .85em; color: var(--muted) }
.mark { width: 5.5rem } td.mark, b { font-weight: 600 } .observed, .limit { width: 11rem }
.good { color: var(--good) } .bad { color: var(--bad) }
.bar { display: block; height: .7rem; margin-top: .4rem; background: var(--bar); border-radius: 2px }
.images { display: flex; flex-wrap: wrap; gap: .6rem; margin-top: .5rem } figure { margin: 0; text-align: center }
img { width: 72px; height: 72px; display: block; border-radius: 3px; border: 1px solid var(--grid) }
figcaption { font-size: .75rem; line-height: 1.2; color: var(--muted); max-width: 74px; margin-top: .2rem }
""".strip()

# Nothing may be loaded, whatever a label or a file name holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render_docs(validation: Validation, samples: Samples, class_counts: pd.DataFrame) -> str:
    """Return the page, HTML: the verdict, the rows of each class and usage, and every expectation suite by suite.

    `class_counts` has one row a class: `label`, `rows`, `share`, and one column a usage.
    """
    pictures = _Pictures(samples)
    suites = [
        _render_suite(suite, list(outcomes), pictures)
        for suite, outcomes in groupby(validation.outcomes, key=lambda outcome: outcome.suite)
    ]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Data docs</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>",
            _render_verdict(validation, len(samples)),
            _render_counts(class_counts),
            *suites,
            "</body>\n</html>\n",
        ]
    )


class _Pictures:
    """The images behind sample ids, as figures inside the page."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.rows = pd.Series(np.arange(len(samples)), index=samples.table["sample_id"])

    def render(self, ids: tuple[int, ...]) -> str:
        """Return the images of `ids` with id and label, or nothing where there are none."""
        figures = "".join(self._figure(sample_id) for sample_id in ids)
        return f'<div class="images">{figures}</div>' if figures else ""

    def _figure(self, sample_id: int) -> str:
        row = int(np.ravel(self.rows[sample_id])[0])
        label = self.samples.table["label"].iloc[row]
        png = b64encode(cv2.imencode(".png", self.samples.images[row])[1].tobytes()).decode()
        caption = f"{sample_id} {'' if pd.isna(label) else escape(str(label))}"
        return f'<figure><img alt="" src="data:image/png;base64,{png}"><figcaption>{caption}</figcaption></figure>'


def _render_verdict(validation: Validation, rows: int) -> str:
    """Return the head of the page: the verdict, and what failed."""
    critical, warnings = validation.failed("critical"), validation.failed("warning")
    verdict = (
        f'<b class="bad">{_plural(len(critical), "critical failure")}</b>' if critical else '<b class="good">passed</b>'
    )
    failures = "".join(f"<li>{escape(str(outcome))}</li>" for outcome in [*critical, *warnings])
    return (
        f'<h1>Ferrule: data docs</h1>\n<p class="verdict">{verdict}, {_plural(len(warnings), "warning")}</p>\n'
        f'<p class="muted">{len(validation.outcomes)} expectations over {rows:,} images. A critical failure stops the '
        "workflow; a warning is told and recorded.</p>" + (f"\n<ul>{failures}</ul>" if failures else "")
    )


def _plural(count: int, noun: str) -> str:
    """Return "1 warning", "2 warnings"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _render_counts(class_counts: pd.DataFrame) -> str:
    """Return the table of rows by class and usage, with a bar for the share of each class."""
    usages = [name for name in class_counts if name not in ("label", "rows", "share")]
    heads = "".join(f'<th class="number">{escape(str(name))}</th>' for name in [*usages, "all", "share"])
    scale = 100 / max(class_counts["share"].max(), 1e-9)
    rows = "".join(
        f"<tr><td>{escape(str(row['label']))}</td>"
        + "".join(f'<td class="number">{row[name]:,}</td>' for name in [*usages, "rows"])
        + f'<td class="number">{row["share"]:.1%}</td>'
        + f'<td style="width: 30%"><span class="bar" style="width: {scale * row["share"]:.1f}%"></span></td></tr>\n'
        for row in class_counts.to_dict("records")
    )
    return f"<h2>Rows by class</h2>\n<table>\n<tr><th>class</th>{heads}<th></th></tr>\n{rows}</table>"


def _render_suite(suite: str, outcomes: list[Outcome], pictures: _Pictures) -> str:
    """Return one suite: a row an expectation, and the first images that break it."""
    rows = "".join(_render_outcome(outcome, pictures) for outcome in outcomes)
    heads = (
        '<th class="mark"></th><th>what is looked at</th>'
        '<th class="number observed">observed</th><th class="limit">expected</th>'
    )
    return f'<h2>{escape(suite.capitalize())}</h2>\n<table class="suite">\n<tr>{heads}</tr>\n{rows}</table>'


def _render_outcome(outcome: Outcome, pictures: _Pictures) -> str:
    """Return the row of one expectation."""
    mark = ("good", "✓") if outcome.success else ("bad", f"✗ {outcome.severity}")
    column = [f"column {outcome.column}"] if outcome.column else []
    details = ", ".join([outcome.expectation, *column, outcome.severity])
    return (
        f'<tr><td class="mark {mark[0]}">{mark[1]}</td><td>{escape(outcome.quantity)}<br>'
        f"<code>{escape(details)}</code>{pictures.render(outcome.examples)}</td>"
        f'<td class="number">{escape(outcome.observed_text)}</td><td>{escape(outcome.limit)}</td></tr>\n'
    )
