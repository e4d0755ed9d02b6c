"""Reading fer2013.csv, beside pandas: pd.read_csv and one np.array(row.split()) a row.

Each way runs in a process of its own, imports not counted; its memory is the most that the process took, less what it
had taken before.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.data import write_csv
from bench.rows import ROOT, Row, Setup, SkippedError, alternate, compare

RUNS = 5

PROCESS = Path("/proc/self")  # Linux alone tells a process's peak apart from its parent's


def measure(setup: Setup) -> list[Row]:
    """Return the rows of time and of memory."""
    if not PROCESS.is_dir():
        raise SkippedError(f"Expected {PROCESS}, which tells the peak memory; it is not there; measure on Linux.")
    csv = setup.folder / "fer2013.csv"
    write_csv(setup.samples, csv)
    size = csv.stat().st_size
    csv.read_bytes()  # so that no run pays for the disk
    pairs = alternate(lambda: read_apart("ferrule", csv), lambda: read_apart("pandas", csv), setup.runs, warm_up=False)
    csv.unlink()
    name = f"read fer2013.csv, {len(setup.samples):,} rows, {size / 1e6:.0f} MB"
    times, memory = ([(ours[i], theirs[i]) for ours, theirs in pairs] for i in (0, 1))
    against = "pandas, one split a row"
    limit = size / setup.limits.copy
    return [
        compare(name, against, "s", times, limit=limit, limit_is="its bytes once through memory"),
        compare("its memory", against, "MB", memory, limit=_pixels(setup), limit_is="the images alone"),
    ]


def _pixels(setup: Setup) -> float:
    return setup.samples.images.nbytes / 2**20


def read_apart(way: str, csv: Path) -> tuple[float, float]:
    """Read `csv` in a fresh process, the way WAYS names: seconds, megabytes."""
    command = [sys.executable, "-m", "bench.ingest", way, str(csv)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(json.loads(output))


def _read(way: str, csv: Path) -> tuple[float, float]:
    read = WAYS[way]()
    (PROCESS / "clear_refs").write_text("5")  # the peak starts again from here
    before = _peak_memory()
    start = time.perf_counter()
    read(csv)
    return time.perf_counter() - start, _peak_memory() - before


def _peak_memory() -> float:
    """Return the most megabytes that this process has taken; getrusage would count its parent's too."""
    status = (PROCESS / "status").read_text()
    [peak] = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(peak) / 1024


def _import_pandas() -> Callable[[Path], object]:
    import pandas as pd

    return lambda csv: [np.array(row.split(), dtype="uint8") for row in pd.read_csv(csv)["pixels"]]


def _import_ferrule() -> Callable[[Path], object]:
    from ferrule.emotions import EMOTIONS
    from ferrule.layouts import read_samples

    return lambda csv: read_samples(csv, EMOTIONS, max_reject_fraction=0.0)


WAYS = {"ferrule": _import_ferrule, "pandas": _import_pandas}

if __name__ == "__main__":
    print(json.dumps(_read(sys.argv[1], Path(sys.argv[2]))))
