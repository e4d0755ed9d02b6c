"""The project folder: where it is, and DVC run inside it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configobj import ConfigObj

from ferrule.errors import WorkflowError

MARKER = "dvc.yaml"
TAIL_LINES = 12  # of a failed command, shown with the error
GUARD = Path(__file__).with_name("guard.py")

BUSY = "is busy, it is being blocked by"  # what DVC says of files that another DVC reads or writes
BUSY_TIMEOUT = 20  # seconds

_running: set[subprocess.Popen] = set()  # so that a flow that is stopped can stop what its threads wait for
_stopping = threading.Event()


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder, from `start` (here) upward, that holds dvc.yaml; WorkflowError where there is none."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / MARKER).is_file():
            return folder
    raise WorkflowError(f"Expected a Ferrule project (a folder with {MARKER}) at or above {start}; change into one.")


def enter_project() -> Path:
    """Make the project's root the current folder, so that prefect.toml applies, and let DVC work without git."""
    root = find_root()
    os.chdir(root)
    if not (root / ".git").exists():
        _do_without_git(root / ".dvc" / "config.local")
    return root


def _do_without_git(settings: Path) -> None:
    """Set core.no_scm in DVC's local settings, and keep what else stands there (the keys of a remote, say)."""
    settings.parent.mkdir(exist_ok=True)
    local = ConfigObj(str(settings))
    if local.get("core", {}).get("no_scm") != "true":
        local.setdefault("core", {})["no_scm"] = "true"
        local.write()


def run_dvc(
    root: Path,
    *arguments: str,
    on_line: Callable[[str], None] | None = None,
    patience: float = BUSY_TIMEOUT,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run `dvc ARGUMENTS` in `root` and return what it printed, handing each line to `on_line` as it comes.

    `variables` are added to the environment of DVC and so of its stages. Where another DVC holds what this one needs it
    is tried again for `patience` seconds. Raises WorkflowError with the last lines where DVC fails.
    """
    deadline = time.monotonic() + patience
    while True:
        failed, lines = _run_once(root, arguments, on_line, variables or {})
        if not failed:
            return "\n".join(lines)
        tail = "\n".join([line for line in lines if line.strip()][-TAIL_LINES:])
        if BUSY not in tail or time.monotonic() > deadline:
            raise WorkflowError(f"`dvc {' '.join(arguments)}` failed; its last lines:\n{tail}")
        time.sleep(1)


def _run_once(
    root: Path, arguments: tuple[str, ...], on_line: Callable[[str], None] | None, variables: Mapping[str, str]
) -> tuple[bool, list[str]]:
    """Run DVC and return whether it failed, and its lines."""
    process = start_guarded(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=_environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    _running.add(process)
    lines: list[str] = []
    try:
        if _stopping.is_set():
            raise WorkflowError(f"`dvc {' '.join(arguments)}` was stopped.")
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if on_line and line.strip():
                on_line(line.rstrip())
        return process.wait() != 0, lines
    except BaseException:
        stop_guarded(process)
        raise
    finally:
        _running.discard(process)


@contextmanager
def stopping_together() -> Iterator[None]:
    """Where an exception leaves the block, stop every DVC that its threads have under way, with the stage it runs."""
    try:
        yield
    except BaseException:
        _stopping.set()  # for threads that are about to start one
        for process in list(_running):
            stop_guarded(process)
        raise
    finally:
        _stopping.clear()


def start_guarded(command: Sequence[str], **options: Any) -> subprocess.Popen:
    """Start a process that ends with this one, whatever ends this one; `options` are those of Popen."""
    return subprocess.Popen(
        [sys.executable, "-I", str(GUARD), *command],
        stdin=subprocess.PIPE,
        start_new_session=True,  # out of reach of Ctrl-C: `stop_guarded` says when
        **options,
    )


def stop_guarded(process: subprocess.Popen) -> None:
    """End what `start_guarded` started, and all it started: no training goes on unseen, no port stays taken."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this environment with this interpreter first in PATH, since the stages' commands say `python`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", **variables}
