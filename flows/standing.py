"""Whether `ferrule up` stands over a project, and where: one at a time, known to every other command."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ferrule.errors import WorkflowError
from ferrule.files import replacing

FOLDER = ".prefect"
LOCK = "up.lock"  # held as long as it stands; the system frees it, whatever ends the process
ADDRESSES = "up.json"


@contextmanager
def standing_alone(root: Path) -> Iterator[None]:
    """Be the only `ferrule up` of `root` inside the block; raises WorkflowError where there is one already."""
    (root / FOLDER).mkdir(exist_ok=True)
    lock = FileLock(root / FOLDER / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise WorkflowError(
            f"Expected no other `ferrule up` in {root}; one is running; use it, or stop it (Ctrl-C where it runs)."
        ) from None
    try:
        yield
    finally:
        (root / FOLDER / ADDRESSES).unlink(missing_ok=True)
        lock.release()


def tell_addresses(root: Path, addresses: Mapping[str, str]) -> None:
    """Let other commands find the servers: their names and addresses. To be called inside `standing_alone`."""
    with replacing(root / FOLDER / ADDRESSES) as draft:
        draft.write_text(json.dumps(addresses))


def find_standing(root: Path) -> dict[str, str] | None:
    """Return the addresses of the servers of the `ferrule up` that runs in `root`, by name; None where none does."""
    try:
        with FileLock(root / FOLDER / LOCK, blocking=False):
            return None
    except Timeout:
        file = root / FOLDER / ADDRESSES
        return json.loads(file.read_text()) if file.exists() else None
    except OSError:  # there is no folder yet
        return None
