"""The ledger: every decision on an alias of the model and every move of one, who made it, when and why.

An entry is a run in MLflow's experiment `promotions`, so that one can search it; its facts are tags, its numbers
metrics, its evidence files. `aliases.py` says when entries are written; here is how.
"""

import getpass
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock, Timeout
from psutil import pid_exists

from ferrule.errors import RegistryError
from ferrule.store import find_database, open_experiment, open_store
from ferrule.tracking import FLOW_TAG, MODEL_TAG, flow_tags, log_metrics, read_artifact, search_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "promotions"

# What becomes of an entry.
JUDGING, WAITING = "judging", "waiting"  # a decision under way; one that waits for a person
INTENDED, DONE, UNDONE = "intended", "done", "undone"  # a move that is about to be made, was made, was not
REFUSED, OVERTAKEN, ENDED = "refused", "overtaken", "ended"  # decisions after which nothing moved; the last broke off

REPORT = "decision.md"  # of the files behind an entry: what was found, for a person

LOCK_TIMEOUT = 120  # seconds; the lock is held for some calls to the store, never while a model predicts
LONGEST_REASON = 4000  # characters; the store takes 5,000

_PREFIX = "ledger."
_TEXTS = ("action", "alias", "state", "why", "who", "when", "process", "before_md5", "after_md5", "question")


class Move(NamedTuple):
    """What an alias meant and is to mean: versions, or None for no version."""

    alias: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Entry:
    """A line of the ledger; `before` and `after` are versions, None where the alias means none."""

    run_id: str
    number: int  # from 1, in the order of writing
    action: str
    alias: str
    before: str | None
    after: str | None
    state: str
    why: str
    who: str
    when: str  # UTC, ISO 8601
    process: str  # "<machine>:<process id>"
    flow_run_id: str | None
    before_md5: str = ""  # of the bytes of the two versions: after an upgrade the same model has another number
    after_md5: str = ""
    question: str = ""  # of a refusal: a digest of what it rests on; empty where asking again may be answered otherwise

    def brought(self, version: str, model_md5: str) -> bool:
        """Tell whether this let the alias mean the version, or another of the same bytes."""
        return self.after == version or (bool(model_md5) and self.after_md5 == model_md5)

    def took(self, version: str, model_md5: str) -> bool:
        """Tell whether this took the alias from the version, or from another of the same bytes."""
        return self.before == version or (bool(model_md5) and self.before_md5 == model_md5)

    @property
    def orphaned(self) -> bool:
        """Whether it is still open, and the process that opened it was of this machine and has ended."""
        machine, _, process = self.process.rpartition(":")
        return self.state in (JUDGING, WAITING) and machine == socket.gethostname() and not pid_exists(int(process))


@contextmanager
def locked(root: Path) -> Iterator["MlflowClient"]:
    """Give a client of the store while no other process is in such a block: of this machine, and on the same store.

    For a store on a server that is: of this checkout. Raises RegistryError where the lock does not come free.
    """
    client, path = open_store(root), _lock_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=LOCK_TIMEOUT):
            open_experiment(client, root, EXPERIMENT)  # made, or brought back with its runs where it was deleted
            yield client
    except Timeout as error:
        raise RegistryError(
            f"Expected the registry free within {LOCK_TIMEOUT} seconds; another process holds {path}; end that one."
        ) from error


def write_entry(
    client: "MlflowClient",
    root: Path,
    name: str,
    move: Move,
    *,
    action: str,
    state: str,
    why: str = "",
) -> str:
    """Write an entry on the model `name`, inside `locked`; return the id of its run."""
    known = _search(client, f"tags.`{_PREFIX}model` = '{name}'", deleted_too=True)
    number = 1 + max((int(run.data.tags[f"{_PREFIX}number"]) for run in known), default=0)
    facts = {
        "model": name,
        "number": str(number),
        "action": action,
        "alias": move.alias,
        "before": move.before or "",
        "after": move.after or "",
        "before_md5": _find_md5(client, name, move.before),
        "after_md5": _find_md5(client, name, move.after),
        "state": state,
        "why": why[:LONGEST_REASON],
        "who": who_am_i(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "process": f"{socket.gethostname()}:{os.getpid()}",
    }
    run = client.create_run(
        open_experiment(client, root, EXPERIMENT).experiment_id,
        run_name=f"{number} {action}: {move.alias} {move.before or 'none'} → {move.after or 'none'}",
        tags={f"{_PREFIX}{key}": value for key, value in facts.items()} | flow_tags(),
    )
    if state not in (JUDGING, INTENDED):
        client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def change_entry(client: "MlflowClient", run_id: str, state: str, **facts: str) -> None:
    """Let an entry be in another `state`, and tell more `facts` of it (`why`, say); a final state ends its run."""
    for key, value in facts.items():
        client.set_tag(run_id, f"{_PREFIX}{key}", value[:LONGEST_REASON])
    client.set_tag(run_id, f"{_PREFIX}state", state)
    if state not in (JUDGING, WAITING, INTENDED):
        client.set_terminated(run_id, "KILLED" if state == ENDED else "FINISHED")


def read_entries(client: "MlflowClient", name: str) -> list[Entry]:
    """Return the entries on the model `name`, oldest first."""
    entries = map(_read, _search(client, f"tags.`{_PREFIX}model` = '{name}'"))
    return sorted(entries, key=lambda entry: (entry.number, entry.when))


def read_entry(client: "MlflowClient", run_id: str) -> Entry:
    """Return the entry of a run."""
    return _read(client.get_run(run_id))


def claim_look(root: Path, run_id: str, test_md5: str, pair: tuple[str, str]) -> int:
    """Return the how manieth comparison under the name of its model this one is, from 1, and write it down.

    Whatever the test images: new data adds a few to those that were looked at before, and starting again at 1 with
    each of them would promote luck. `test_md5` names the images, `pair` the models by the MD5s of their bytes. The same
    pair on the same images gives the same numbers again, and so is the same comparison. Deleted entries count.
    """
    asked = {"pair": " ".join(pair), "test_md5": test_md5}
    with locked(root) as client:
        name = client.get_run(run_id).data.tags[f"{_PREFIX}model"]
        runs = _search(client, f"tags.`{_PREFIX}model` = '{name}' and tags.`{_PREFIX}look` LIKE '%'", deleted_too=True)
        known = [{key: run.data.tags[f"{_PREFIX}{key}"] for key in (*asked, "look")} for run in runs]
        same = [int(each["look"]) for each in known if asked.items() <= each.items()]
        look = same[0] if same else 1 + max((int(each["look"]) for each in known), default=0)
        for key, value in {**asked, "look": str(look)}.items():
            client.set_tag(run_id, f"{_PREFIX}{key}", value)
    return look


def who_am_i() -> str:
    """Return who runs this, as user and machine; a container may have no name for its user."""
    try:
        return f"{getpass.getuser()} on {socket.gethostname()}"
    except (KeyError, OSError):
        return f"user {os.getuid()} on {socket.gethostname()}"


def log_evidence(root: Path, run_id: str, metrics: Mapping[str, float], files: Mapping[str, str]) -> None:
    """Keep the numbers and the texts, by file name, behind an entry."""
    client = open_store(root)
    log_metrics(client, run_id, metrics)
    for name, content in files.items():
        client.log_text(run_id, content, name)


def read_report(root: Path, run_id: str) -> str | None:
    """Return the file REPORT behind an entry, Markdown, or None where nothing was compared (see `read_artifact`)."""
    return read_artifact(root, run_id, REPORT, lambda file: file.read_text(encoding="utf-8"))


def _search(client: "MlflowClient", condition: str, *, deleted_too: bool = False) -> "list[Run]":
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    return search_runs(client, condition, experiment=str(experiment.experiment_id), deleted_too=deleted_too)


def _read(run: "Run") -> Entry:
    facts = {key.removeprefix(_PREFIX): value for key, value in run.data.tags.items() if key.startswith(_PREFIX)}
    texts = {key: facts.get(key, "") for key in _TEXTS}
    return Entry(
        run_id=str(run.info.run_id),
        number=int(facts["number"]),
        before=facts["before"] or None,
        after=facts["after"] or None,
        flow_run_id=facts.get("flow_run_id") or run.data.tags.get(FLOW_TAG),
        **texts,
    )


def _find_md5(client: "MlflowClient", name: str, version: str | None) -> str:
    """Return the MD5 of a version's bytes, or nothing where it is lost."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version(name, version).tags.get(MODEL_TAG, "")) if version else ""
    except MlflowException:
        return ""


def _lock_path(root: Path) -> Path:
    """Return the lock file: beside the database where it is a file, so that checkouts that share it share the lock."""
    return Path(f"{find_database(root) or root / 'mlruns' / 'mlflow.db'}.lock")
