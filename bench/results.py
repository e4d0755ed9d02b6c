"""What came of the benchmarks: kept as JSON, shown as a table in the terminal or in a Markdown document."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from bench.limits import Limits
from bench.rows import ROOT, Row
from ferrule.documents import write_between, write_table
from ferrule.errors import DataError

RESULTS = ROOT / "bench" / "results.json"
BEGIN = "<!-- benchmarks: `python -m bench --write docs/performance.md` writes what follows -->"
END = "<!-- end of benchmarks -->"
COLUMNS = ("benchmark", "Ferrule", "against", "times as good", "limit", "reached")


@dataclass(frozen=True)
class Result:
    """What came of one benchmark on a `date` with `data`: rows, or why there are none (`failed`: by a fault)."""

    benchmark: str
    date: str = ""
    data: str = ""
    rows: tuple[Row, ...] = ()
    reason: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Results:
    """The results of one machine, whose facts and limits they share."""

    machine: dict[str, str | int]
    limits: Limits
    results: tuple[Result, ...]

    def keep(self, before: "Results | None", order: tuple[str, ...]) -> "Results":
        """Return these with what `before` holds of other benchmarks, if it is of the same machine, in `order`."""
        if before is None or before.machine != self.machine:
            return self
        merged = {result.benchmark: result for result in (*before.results, *self.results)}
        return replace(self, results=tuple(merged[name] for name in order if name in merged))


def save_results(results: Results, path: Path = RESULTS) -> None:
    """Write `results` as JSON."""
    path.write_text(json.dumps(asdict(results), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_results(path: Path = RESULTS) -> Results | None:
    """Read what `save_results` wrote; None where there is nothing."""
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    results = [
        Result(**{**result, "rows": tuple(Row(**row) for row in result["rows"])}) for result in content["results"]
    ]
    return Results(content["machine"], Limits(**content["limits"]), tuple(results))


def print_results(results: Results, console: Console) -> None:
    """Print the table, with what it was measured on."""
    table = Table(*(Column(name, overflow="fold") for name in COLUMNS), show_lines=True)
    for cells in _cells(results):
        table.add_row(*cells)
    console.print(table)
    console.print("\n".join(_remarks(results)), highlight=False)


def results_table(results: Results) -> str:
    """Return the same as Markdown."""
    remarks = "\n".join(f"{remark}  " for remark in _remarks(results))
    return f"{write_table(COLUMNS, _cells(results))}\n\n{remarks}".rstrip()


def write_results(results: Results | None, document: Path) -> None:
    """Put the table between the two marks in `document`; raises FerruleError without results or marks."""
    if results is None:
        raise DataError(f"Expected {RESULTS.name} beside bench/; it is not there; run `make bench`.")
    write_between(document, BEGIN, END, results_table(results))


def _cells(results: Results) -> list[tuple[str, ...]]:
    cells: list[tuple[str, ...]] = []
    for result in results.results:
        for row in result.rows:
            limit = "" if row.limit is None else f"{_say(row.limit, row.unit)}: {row.limit_is}"
            share = "" if row.share_of_limit is None else f"{row.share_of_limit:.1%}".replace("%", " %")
            against = f"{row.against}: {_say(row.theirs, row.unit)}"
            times = f"{_round(row.ratio)} ({_round(row.low)}-{_round(row.high)})"
            cells.append((f"{result.benchmark}: {row.name}", _say(row.ours, row.unit), against, times, limit, share))
        if not result.rows:
            cells.append((result.benchmark, "failed" if result.failed else "skipped", result.reason, "", "", ""))
    return cells


def _remarks(results: Results) -> list[str]:
    """Return what the figures mean and where they come from, a line each."""
    machine, limits = results.machine, results.limits
    versions = ", ".join(f"{name} {value}" for name, value in machine.items() if name not in ("processor", "cores"))
    fast = "" if limits.bfloat16 is None else f", {limits.bfloat16 / 1e9:,.0f} in bfloat16"
    pairs = [f"{result.benchmark} {result.rows[0].runs}" for result in results.results if result.rows]
    data: dict[str, list[str]] = {}
    for result in results.results:
        if result.rows and result.data:
            data.setdefault(f"{result.data} ({result.date})", []).append(result.benchmark)
    remarks = [
        "Figures are medians; times as good is the median of the ratios pair by pair, with the least and the largest.",
        f"Pairs: {', '.join(pairs)}.",
        f"Data: {'; '.join(name + ': ' + ', '.join(of) for name, of in data.items())}.",
        f"Machine: {machine['cores']} cores of {machine['processor']}; {versions}.",
        f"It copies {limits.copy / 1e9:.1f} GB/s (read and written), counts {limits.count / 1e9:.2f} billion words of "
        f"bits a second, and convolves at {limits.float32 / 1e9:,.0f} GFLOP/s in float32{fast}.",
    ]
    return [remark for remark in remarks if not remark.endswith(": .")]


def _say(value: float, unit: str) -> str:
    return f"{_round(value)} {unit}"


def _round(value: float) -> str:
    """Return three digits that count, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
