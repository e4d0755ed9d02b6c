"""Processes: who holds DVC's locks, and what was left running when its `ferrule` command ended."""

from itertools import pairwise
from pathlib import Path

import psutil

from ferrule.errors import WorkflowError
from flows.checks import Finding
from flows.checks.store import find_database
from flows.locks import RWLOCK, Hold, is_held, read_holds

# Words of the command lines that Ferrule starts, in a row.
_OURS = (("prefect", "server"), ("prefect", "worker"), ("mlflow", "server"), ("-m", "dvc"), ("-m", "pipelines"))


def check_holds(root: Path) -> list[Finding]:
    """See that what DVC noted as in use is in use, by a DVC."""
    try:
        holds = read_holds(root)
    except WorkflowError as error:
        return [Finding("error", str(error), f"rm {RWLOCK}")]
    by_process = {hold.pid: hold for hold in holds}
    return [finding for hold in by_process.values() for finding in _judge(hold)]


def check_lock_files(root: Path) -> list[Finding]:
    """Tell which locks are held; the system frees them with their process, so that the file alone means nothing."""
    database = find_database(root)
    files = [root / ".dvc/tmp/lock", root / ".prefect/training.lock", root / "artifacts/.train-checkpoints/lock"]
    files += [Path(f"{database}.lock")] if database else []
    held = [path for path in files if path.is_file() and is_held(path)]
    return [Finding("note", f"{path} is held: a process is at work there.", f"fuser --verbose {path}") for path in held]


def check_leftovers(root: Path) -> list[Finding]:
    """Find servers, workers and stages that run in this project and whose parent is gone."""
    left = [process for process in find_processes(root) if is_orphan(process)]
    return [
        Finding(
            "warning",
            f"Process {process.pid} ({shorten(process)}) runs on, and the command that started it is gone.",
            f"kill {process.pid}",
        )
        for process in left
    ]


def find_processes(root: Path) -> list[psutil.Process]:
    """Return the processes of the kinds that Ferrule starts whose folder is the project's."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = [Path(word).name for word in process.info["cmdline"] or []]
        pairs = set(pairwise(words))
        if process.info["cwd"] == str(root.resolve()) and pairs & set(_OURS):
            found.append(process)
    return found


def is_orphan(process: psutil.Process) -> bool:
    """Tell whether init adopted the process: its own parent ended."""
    try:
        parent = process.parent()
        return parent is None or parent.pid == 1 or parent.name() == "systemd"
    except psutil.Error:
        return False


def shorten(process: psutil.Process) -> str:
    """Return what a process does, without the path of its interpreter."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return "ended"
    return " ".join(Path(word).name if "/" in word else word for word in words)[:80]


def _judge(hold: Hold) -> list[Finding]:
    if hold.is_dvc:
        return [Finding("note", f"DVC is at work on {hold.path.name} (process {hold.pid}).", "ferrule status")]
    if hold.alive:
        sentence = (
            f"DVC takes process {hold.pid} for one that uses {hold.path.name}, but that is another program by now, and "
            "DVC will wait for it."
        )
        return [Finding("error", sentence, f"rm {RWLOCK}")]
    sentence = f"A DVC that used {hold.path.name} (process {hold.pid}) was killed; the next one clears that up."
    return [Finding("note", sentence, f"rm {RWLOCK}")]
