"""A report as a page that needs no other file, and as Markdown for a pull request."""

import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markdown_it import MarkdownIt
from markupsafe import Markup

from ferrule.documents import write_table
from ferrule.report.blocks import Bars, Facts, Heat, Line, Lines, Report, Stacks, Table

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")
_INLINE = MarkdownIt("zero").enable(["emphasis", "backticks", "link", "escape"])


def render_page(report: Report) -> str:
    """Return the report as HTML: one file, light or dark, that loads nothing, runs nothing and can be printed."""
    return _environment().get_template("page.html.jinja").render(report=report)


def render_markdown(report: Report, changes: str = "") -> str:
    """Return the report as Markdown without its images; `changes`, Markdown too, stand before its sections."""
    return _environment().get_template("report.md.jinja").render(report=report, changes=changes)


def _environment() -> Environment:
    """Return the templates with the filters that place and write values; the page alone is HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(["html.jinja"]),
    )
    environment.filters |= {
        "inline": _render_inline,
        "place": _place,
        "path": _draw_path,
        "kind": lambda block: type(block).__name__,
        "table": _write_block,
    }
    return environment


def _render_inline(text: str) -> Markup:
    """Return the HTML of a text's Markdown; no line begins with a per cent sign."""
    return Markup(_INLINE.renderInline(text.replace(" %", "\u00a0%")))  # noqa: S704  # the parser escapes HTML


def _place(value: float, start: float, end: float) -> str:
    """Return where a value lies between two others, in per cent of the way, kept within them."""
    return f"{100 * min(1.0, max(0.0, (value - start) / ((end - start) or 1.0))):.2f}"


def _draw_path(line: Line, chart: Lines) -> str:
    """Return the points of a line as an SVG path in a square of 100 units."""
    points = [
        f"{_place(x, *chart.x_range)} {100 - float(_place(y, *chart.y_range)):.2f}"
        for x, y in zip(line.x, line.y, strict=True)
    ]
    return f"M{' L'.join(points)}"


def _write_block(block: Table | Facts | Bars | Stacks | Heat) -> str:
    """Return a block that holds numbers as a Markdown table."""
    head, rows, align = _tabulate(block)
    text = write_table([_escape(cell) for cell in head], [[_escape(cell) for cell in row] for row in rows])
    lines = text.split("\n")
    lines[1] = f"|{'|'.join({'l': '---', 'r': '--:'}[each] for each in align)}|"
    return "\n".join(lines)


def _tabulate(block: Table | Facts | Bars | Stacks | Heat) -> tuple[Sequence[str], Sequence[Sequence[str]], str]:
    """Return head, rows and alignment of a block as a table."""
    if isinstance(block, Table):
        return block.head, block.rows, block.align
    if isinstance(block, Facts):
        return ("", "", ""), block.rows, "lrl"
    if isinstance(block, Bars):
        return ("", "", ""), [(bar.label, bar.text, bar.note) for bar in block.rows], "lrl"
    if isinstance(block, Stacks):
        stacked = [(row.label, *(f"{part:,.0f}" for part in (*row.parts, sum(row.parts)))) for row in block.rows]
        return ("", *block.names, "all"), stacked, "lr" + "r" * len(block.names)
    rows = [(label, *(text for text, _ in cells)) for label, cells in block.rows]
    return block.head, rows, "l" + "r" * (len(block.head) - 1)


def _escape(text: str) -> str:
    """Return what comes from data as Markdown that shows it as it is."""
    return _SPECIAL.sub(r"\\\1", text.replace("\n", " "))
