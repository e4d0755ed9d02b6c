"""Run a command that must not outlive who asked for it, however that one ends (kill -9, out of memory).

    python guard.py COMMAND …

Standard input is a pipe that the asker holds open and never writes to; any system closes it with the asker. The guard
then ends the command and all that descends from it, other sessions included (each run of a Prefect worker has its own).
Started by `flows.project.start_guarded`, as a file and not as a module: it imports nothing of ours.
"""

import os
import signal
import subprocess
import sys
import threading

PATIENCE = 10  # seconds between asking processes to end and ending them


def main(command: list[str]) -> None:
    """Run `command` and exit as it does; end it where standard input ends first."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    ending = threading.Event()
    watch = threading.Thread(target=_end_with_asker, args=[ending], daemon=True)
    watch.start()
    status = process.wait()
    if ending.is_set():
        watch.join()  # the command is gone, what it started perhaps not yet
    sys.exit(status if status >= 0 else 128 - status)


def _end_with_asker(ending: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when nobody holds the other end any more
    ending.set()
    import psutil  # here, since most commands end by themselves

    family = psutil.Process().children(recursive=True)
    for member in family:
        member.terminate()
    _, alive = psutil.wait_procs(family, PATIENCE)
    for member in alive:
        member.kill()
    os.killpg(os.getpgrp(), signal.SIGKILL)  # what was started meanwhile; the guard leads the group


if __name__ == "__main__":
    main(sys.argv[1:])
