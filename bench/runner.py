"""Each benchmark in a fresh process, so that none inherits the memory, threads or caches of another.

`python -m bench.runner TASK FOLDER` is such a process: it reads FOLDER/TASK.in.json and writes FOLDER/TASK.out.json.
"""

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.limits import Limits, measure_limits
from bench.results import Result
from bench.rows import ROOT, BenchmarkError, Row, Setup, SkippedError

BENCHMARKS = ("ingest", "duplicates", "augmentation", "training", "prediction", "workflow", "startup")
WITHOUT_SAMPLES = {"workflow": "the embedded sample", "startup": ""}  # and what they measure with

TASK = "{task}.{way}.json"


def run_benchmarks(
    names: tuple[str, ...],
    folder: Path,
    *,
    runs: int | None,
    data: Path | None,
    date: str,
    tell: Callable[[str], None] = print,
) -> tuple[Limits, tuple[Result, ...]]:
    """Run the benchmarks `names` one after the other and return the machine's limits and what came of each.

    `runs` replaces each benchmark's own number of pairs. The samples and all that the benchmarks write lie in `folder`.
    """
    tell("what the machine can do …")
    limits = _run_task("limits", folder)
    source, described = "", ""
    if set(names) - set(WITHOUT_SAMPLES):
        tell("the images to measure with …")
        found = _run_task("samples", folder, path=None if data is None else str(data.absolute()))
        source, described = found["source"], f"{found['source']}, {found['images']:,} images"
    results = []
    for name in names:
        tell(f"{name} …")
        started = time.monotonic()
        result = run_benchmark(name, folder, limits=limits, source=source, runs=runs)
        results.append(replace(result, date=date, data=WITHOUT_SAMPLES.get(name, described)))
        tell(f"{name}: {time.monotonic() - started:.0f} s")
    return Limits(**limits), tuple(results)


def run_benchmark(name: str, folder: Path, **setup: Any) -> Result:
    """Run one benchmark in a fresh process, with what `Setup` holds; a fault of it is its result."""
    try:
        answer = _run_task(name, folder, **setup)
    except BenchmarkError as error:
        return Result(name, reason=str(error), failed=True)
    return Result(name, rows=tuple(Row(**row) for row in answer["rows"]), reason=answer["skipped"])


def _run_task(task: str, folder: Path, **arguments: Any) -> Any:
    """Carry out a task in a fresh process; where it fails, show what it wrote and raise BenchmarkError."""
    files = {way: folder / TASK.format(task=task, way=way) for way in ("in", "out")}
    files["in"].write_text(json.dumps(arguments))
    command = [sys.executable, "-m", "bench.runner", task, str(folder)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:]
        raise BenchmarkError(" ".join(last) or f"{task} ended with status {done.returncode}")
    return json.loads(files["out"].read_text())


def carry_out(task: str, folder: Path, **arguments: Any) -> Any:
    """Return what a task gives, to be written as JSON."""
    if task == "limits":
        return asdict(measure_limits())
    if task == "samples":
        from bench.data import find_samples
        from ferrule.samples import save_samples

        samples, source = find_samples(None if arguments["path"] is None else Path(arguments["path"]))
        save_samples(samples, folder)
        return {"source": source, "images": len(samples)}
    module = importlib.import_module(f"bench.{task}")
    setup = Setup(folder, arguments["source"], Limits(**arguments["limits"]), arguments["runs"] or module.RUNS)
    try:
        return {"rows": [asdict(row) for row in module.measure(setup)], "skipped": ""}
    except SkippedError as error:
        return {"rows": [], "skipped": str(error)}


if __name__ == "__main__":
    name, work = sys.argv[1], Path(sys.argv[2])
    given = json.loads((work / TASK.format(task=name, way="in")).read_text())
    (work / TASK.format(task=name, way="out")).write_text(json.dumps(carry_out(name, work, **given)))
