"""The project folder: where it is, and DVC run inside it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ferrule.errors import WorkflowError

MARKER = "dvc.yaml"
TAIL_LINES = 12  # of a failed command, shown with the error
STOP_TIMEOUT = 10  # seconds

_running: set[subprocess.Popen] = set()  # so that a flow that is stopped can stop what its threads wait for


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
        (root / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    return root


def run_dvc(root: Path, *arguments: str, on_line: Callable[[str], None] | None = None, **variables: str) -> str:
    """Run `dvc ARGUMENTS` in `root` and return what it printed, handing each line to `on_line` as it comes.

    `variables` are added to the environment of DVC and so of its stages. Raises WorkflowError with the last lines where
    DVC fails.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=_environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # its own process group, which `_stop` ends as a whole
    )
    _running.add(process)
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if on_line and line.strip():
                on_line(line.rstrip())
        failed = process.wait() != 0
    except BaseException:
        _stop(process)
        raise
    finally:
        _running.discard(process)
    if failed:
        tail = "\n".join(line for line in lines if line.strip()).splitlines()[-TAIL_LINES:]
        raise WorkflowError(f"`dvc {' '.join(arguments)}` failed; its last lines:\n" + "\n".join(tail))
    return "\n".join(lines)


def stop_dvc() -> None:
    """Stop every DVC that `run_dvc` has under way in any thread, with the stage it runs; its checkpoint stays."""
    for process in list(_running):
        _stop(process)


def _stop(process: subprocess.Popen) -> None:
    """End a process and all that it started, so that no training goes on unseen and no lock stays behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
        os.killpg(process.pid, signal.SIGKILL)  # what did not listen, or was started meanwhile
    process.wait()


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """Return this environment with this interpreter first in PATH, since the stages' commands say `python`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", **variables}
