"""How long reading the full fer2013.csv takes, beside the plain way of doing it, in one run.

    python ../shared/data/materialise.py csv /tmp/fer2013
    python bench/ingest.py /tmp/fer2013/fer2013.csv

The plain way is pd.read_csv and one np.array(row.split(), dtype="uint8") a row. Both are run three times, in turn, each
in its own process, imports not counted; the memory is the most that the process took, less what the imports took.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sized
from pathlib import Path

RUNS = 3
WAYS = ("plain", "ferrule")


def main() -> None:
    """Print seconds and megabytes of both ways, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(*measure(plain() if args.way == "plain" else ferrule(), args.csv))
        return
    with args.csv.open("rb") as file:  # so that no run pays for the disk
        while file.read(1 << 20):
            pass
    runs = [[run(way, args.csv) for way in WAYS] for _ in range(RUNS)]
    medians = []
    for way, results in zip(WAYS, zip(*runs, strict=True), strict=True):
        seconds, cpu, megabytes = (statistics.median(values) for values in zip(*results, strict=True))
        medians.append(seconds)
        print(f"{way:8} {seconds:6.2f} s  {cpu:6.2f} s of processor time  {megabytes:6.0f} MB")
    print(f"ferrule takes {medians[1] / medians[0]:.2f} of the time ({os.cpu_count()} cores, median of {RUNS} runs)")


def run(way: str, csv: Path) -> list[float]:
    """Measure one way in a fresh process: seconds, processor seconds, megabytes."""
    command = [sys.executable, __file__, str(csv), "--way", way]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(word) for word in output.split()]


def measure(read: Callable[[Path], Sized], csv: Path) -> tuple[float, float, float]:
    """Read `csv` once: seconds, processor seconds, megabytes."""
    start, start_cpu, start_memory = time.perf_counter(), time.process_time(), peak_memory()
    images = read(csv)
    seconds, cpu, megabytes = time.perf_counter() - start, time.process_time() - start_cpu, peak_memory() - start_memory
    assert len(images) == 35_887, f"expected the full fer2013.csv; it has {len(images):,} rows"
    return seconds, cpu, megabytes


def peak_memory() -> float:
    """Return the most megabytes that this process has taken (on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plain() -> Callable[[Path], Sized]:
    """Import what the plain way needs and return it."""
    import numpy as np
    import pandas as pd

    return lambda csv: [np.array(row.split(), dtype="uint8") for row in pd.read_csv(csv)["pixels"]]


def ferrule() -> Callable[[Path], Sized]:
    """Import what Ferrule needs and return it."""
    from ferrule.emotions import EMOTIONS
    from ferrule.layouts import read_samples

    return lambda csv: read_samples(csv, EMOTIONS, max_reject_fraction=0.0).samples


if __name__ == "__main__":
    main()
