"""The disk: room for a run, and what takes room without need."""

import shutil
from pathlib import Path

from flows.checks import Finding
from flows.checks.settings import read_dvc_config

GIB = 2**30
LEAST = 1 * GIB  # a run on FER-2013 writes 0.3 GiB, and DVC's cache keeps a copy
LARGE_CACHE = 10  # times what artifacts/ and data/ hold
LARGE_CHECKPOINTS = 2 * GIB


def check_room(root: Path) -> list[Finding]:
    """See that a run finds room: its results anew, and their copy in DVC's cache."""
    needed = max(LEAST, 2 * measure(root / "artifacts"))
    free = shutil.disk_usage(root).free
    if free >= needed:
        return []
    sentence = f"{_gib(free)} are free where the project is; a run may need {_gib(needed)}."
    return [Finding("error", sentence, "dvc gc --workspace   # drops what only other commits use")]


def check_cache(root: Path) -> list[Finding]:
    """See that DVC's cache has not outgrown what is in use."""
    cache = root / ".dvc" / read_dvc_config(root).get("cache", {}).get("dir", "cache")
    size, used = measure(cache), measure(root / "artifacts") + measure(root / "data")
    if size < LEAST or size < LARGE_CACHE * used:
        return []
    sentence = f"DVC's cache holds {_gib(size)}, what is in use {_gib(used)}: the rest is of former runs."
    return [Finding("note", sentence, "dvc gc --workspace   # drops what only other commits use")]


def check_checkpoints(root: Path) -> list[Finding]:
    """See that the checkpoints of trainings take little room; they may be deleted while none runs."""
    size = measure(root / "artifacts" / ".train-checkpoints")
    if size < LARGE_CHECKPOINTS:
        return []
    sentence = f"Checkpoints of trainings hold {_gib(size)}; no result needs them."
    return [Finding("note", sentence, "rm -r artifacts/.train-checkpoints")]


def measure(folder: Path) -> int:
    """Return the bytes in all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
