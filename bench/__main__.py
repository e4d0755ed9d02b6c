"""python -m bench [NAMES…] [--runs N] [--data PATH]: measure, print one table, write bench/results.json.

python -m bench --write docs/performance.md: put the table of bench/results.json into a document; measures nothing.
"""

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench.machine import describe_machine
from bench.results import Results, load_results, print_results, save_results, write_results
from bench.runner import BENCHMARKS, run_benchmarks
from ferrule.errors import FerruleError


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 1 where a benchmark failed; one that is skipped did not."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Ferrule beside other ways.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--runs", type=int, help="pairs a row; the default is each benchmark's own")
    parser.add_argument("--data", type=Path, help="images to measure with, in any layout that ingest reads")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the last table into FILE, between its marks")
    args = parser.parse_args(arguments)
    if unknown := set(args.names) - set(BENCHMARKS):
        parser.error(f"expected names among {', '.join(BENCHMARKS)}; got {', '.join(sorted(unknown))}")
    try:
        if args.write:
            write_results(load_results(), args.write)
            return 0
        return measure(tuple(args.names) or BENCHMARKS, args.runs, args.data)
    except FerruleError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def measure(names: tuple[str, ...], runs: int | None, data: Path | None) -> int:
    """Run the benchmarks, print and write what came of them."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="ferrule-bench-") as folder:
        date = datetime.now(UTC).date().isoformat()
        limits, results = run_benchmarks(names, Path(folder), runs=runs, data=data, date=date, tell=console.print)
    measured = Results(describe_machine(), limits, results)
    print_results(measured, console)
    save_results(measured.keep(load_results(), BENCHMARKS))
    return int(any(result.failed for result in results))


if __name__ == "__main__":
    sys.exit(main())
