"""Who holds which files of the project: DVC's note of what its processes read and write, and locks of the system."""

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path

import psutil

from ferrule.errors import WorkflowError

RWLOCK = Path(".dvc", "tmp", "rwlock")


@dataclass(frozen=True)
class Hold:
    """A process that DVC noted as reading or writing `path`; it may have died since, and its number be another's."""

    path: Path
    pid: int
    writing: bool

    @property
    def alive(self) -> bool:
        """Whether a process has the number."""
        return psutil.pid_exists(self.pid)

    @property
    def is_dvc(self) -> bool:
        """Whether the process that has the number is a DVC."""
        try:
            return any(Path(word).name == "dvc" for word in psutil.Process(self.pid).cmdline())
        except psutil.Error:
            return False


def read_holds(root: Path) -> list[Hold]:
    """Return what DVC noted; raises WorkflowError where that cannot be read, as DVC then refuses to work."""
    path = root / RWLOCK
    try:
        noted = json.loads(path.read_text()) if path.is_file() else {}
        writes = [Hold(Path(held), by["pid"], True) for held, by in noted.get("write", {}).items()]
        reads = [
            Hold(Path(held), by["pid"], False) for held, several in noted.get("read", {}).items() for by in several
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WorkflowError(f"Expected JSON of DVC in {RWLOCK}; it is broken; run `rm {RWLOCK}`.") from error
    return writes + reads


def read_running_stages(root: Path) -> set[str]:
    """Return the stages whose folder in artifacts/ a DVC is writing at this moment."""
    artifacts = root.resolve() / "artifacts"
    return {
        hold.path.name for hold in read_holds(root) if hold.writing and hold.is_dvc and hold.path.parent == artifacts
    }


def is_held(path: Path) -> bool:
    """Tell whether a process holds the lock of a file, by asking for a share in it and giving that back."""
    try:
        with path.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
