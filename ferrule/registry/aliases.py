"""The two aliases of the model: the newest version is `challenger`, the one that is served is `champion`.

A move is written into the ledger as intended, then the alias moves, then the entry is done, all under one lock. What a
killed process left half done is settled by whoever acts next, so that ledger and aliases agree. MLflow lets an alias
mean one version, and moving it is one step: there are never two champions, nor for a moment none.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ferrule.errors import RegistryError
from ferrule.registry.ledger import (
    DONE,
    ENDED,
    INTENDED,
    JUDGING,
    OVERTAKEN,
    REFUSED,
    UNDONE,
    WAITING,
    Entry,
    Move,
    change_entry,
    locked,
    read_entries,
    read_entry,
    write_entry,
)
from ferrule.store import has_store, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHALLENGER = "challenger"
CHAMPION = "champion"
ALIASES = (CHALLENGER, CHAMPION)

# What an entry is about, where it matters; the last is a move that was not made here.
PROMOTION, ROLLBACK, BY_HAND = "promotion", "rollback", "by hand"


class OvertakenError(RegistryError):
    """An alias moved after it was looked at, so that what was decided no longer holds."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with ledger or aliases, and what helps, each as a sentence."""

    sentence: str
    remedy: str


def move_alias(root: Path, name: str, alias: str, version: str, *, action: str = "move", why: str = "") -> None:
    """Let `alias` mean `version`, whatever it meant before; nothing is written where it means that already."""
    with locked(root) as client:
        _settle(client, root, name)
        before = _read_holders(client, name).get(alias)
        if before != version:
            move = Move(alias, before, version)
            run_id = write_entry(client, root, name, move, action=action, state=INTENDED, why=why)
            _move(client, name, alias, version, run_id)


def open_decision(root: Path, name: str, action: str, before: str | None, after: str) -> str:
    """Write down that it is being decided whether `champion` moves; return the id of the entry's run."""
    with locked(root) as client:
        _settle(client, root, name)
        return write_entry(client, root, name, Move(CHAMPION, before, after), action=action, state=JUDGING)


def carry_out(root: Path, name: str, run_id: str, **facts: str) -> None:
    """Move the alias as an open decision says; `facts` (`why`, say) go into the entry.

    Raises OvertakenError, and moves nothing, where the alias moved since the decision was opened, also there and back:
    so the order of entries is the order of moves.
    """
    with locked(root) as client:
        _settle(client, root, name)
        entry, now = read_entry(client, run_id), _read_holders(client, name)
        if now.get(entry.alias) != entry.before or _is_overtaken(entry, read_entries(client, name)):
            became = _say(now.get(entry.alias))
            change_entry(client, run_id, OVERTAKEN, why=f"{entry.alias} became {became} meanwhile.")
            raise OvertakenError(
                f"Expected {_say(entry.before)} as {entry.alias}, as it was judged; it is {became}; ask again."
            )
        assert entry.after is not None, "open_decision names it"
        change_entry(client, run_id, INTENDED, **facts)
        _move(client, name, entry.alias, entry.after, run_id)


def note_decision(root: Path, run_id: str, state: str, **facts: str) -> None:
    """Let an open decision be in a state in which nothing moves; `facts` go into the entry."""
    change_entry(open_store(root), run_id, state, **facts)


def end_decision(root: Path, run_id: str, why: str) -> None:
    """Write down that a decision broke off, unless it was made: then its entry tells what came of it.

    An entry that is intended is left to `_settle`: the alias may have moved.
    """
    with locked(root) as client:
        if read_entry(client, run_id).state in (JUDGING, WAITING):
            change_entry(client, run_id, ENDED, why=why)


def reconcile(root: Path, name: str) -> list[str]:
    """Bring ledger and aliases together; return what was done, as sentences. No store is made."""
    if not has_store(root):
        return []
    with locked(root) as client:
        return _settle(client, root, name)


def read_history(root: Path, name: str) -> list[Entry]:
    """Return the ledger of the model `name`, oldest first; no store is made by asking."""
    return read_entries(open_store(root), name) if has_store(root) else []


def list_former(entries: list[Entry]) -> list[str]:
    """Return the champions before the one of today, the last one first.

    A rollback takes back what came after the version that it returns to, so a second one goes further back.
    """
    line: list[str] = []
    moves = list_champions(entries)
    for entry in moves:
        if entry.action == ROLLBACK and entry.after in line:
            line = line[: line.index(entry.after) + 1]
        elif entry.after:
            line = [*(version for version in line if version != entry.after), entry.after]
    there_is_one = bool(moves and moves[-1].after)
    return line[::-1][there_is_one:]


def find_withdrawal(entries: list[Entry], version: str, model_md5: str) -> str | None:
    """Return why the version, or another of the same bytes, stopped to be the champion if that was a rollback."""
    known = (version, model_md5)
    moves = [entry for entry in list_champions(entries) if entry.took(*known) or entry.brought(*known)]
    gone = moves and moves[-1].action == ROLLBACK and not moves[-1].brought(*known)
    return moves[-1].why if gone else None


def find_refusal(entries: list[Entry], question: str) -> Entry | None:
    """Return the last refusal that answers the same `question` (`evidence.digest_question`), or None."""
    refused = [entry for entry in entries if entry.state == REFUSED and entry.question == question]
    return refused[-1] if refused else None


def list_champions(entries: list[Entry]) -> list[Entry]:
    """Return the moves of `champion` that were made, oldest first."""
    return [entry for entry in entries if entry.alias == CHAMPION and entry.state == DONE]


def check_ledger(root: Path, name: str) -> list[Finding]:
    """Return what is wrong with the aliases of the model `name` and their ledger; it reads, and changes nothing."""
    if not has_store(root):
        return []
    client = open_store(root)
    held, entries = _read_holders(client, name), read_entries(client, name)
    remedy = "run `ferrule registry reconcile`, which settles it and writes it down."
    found = [
        Finding(
            f"Entry {entry.number} ({entry.action} of {entry.alias}) is {entry.state}, and nobody is at it.", remedy
        )
        for entry in entries
        if entry.state == INTENDED or entry.orphaned
    ]
    found += [
        Finding(f"The alias {alias} is {_say(now)}; by the ledger it is {_say(noted)}.", remedy)
        for alias, noted, now in _find_differences(entries, held)
    ]
    numbers = [entry.number for entry in entries]
    if len(numbers) > len(set(numbers)):
        found.append(
            Finding(
                "Two entries of the ledger have one number: two machines, or checkouts, wrote at once.",
                "let only one of them promote and roll back, since the lock does not reach across machines.",
            )
        )
    return found


def _settle(client: "MlflowClient", root: Path, name: str) -> list[str]:
    """Do what `reconcile` says, inside `locked`.

    An intended move is done where the alias moved, and undone where it did not; decisions whose process is gone are
    ended; a move that the ledger does not know (by hand, or from before there was a ledger) is written down.
    """
    held, said = _read_holders(client, name), []
    for entry in read_entries(client, name):
        if entry.state == INTENDED or entry.orphaned:
            moved = DONE if held.get(entry.alias) == entry.after else UNDONE
            state = moved if entry.state == INTENDED else ENDED
            change_entry(client, entry.run_id, state)
            said.append(f"Entry {entry.number}, {entry.action} of {entry.alias}, was cut short; it is {state} now.")
    for alias, noted, now in _find_differences(read_entries(client, name), held):
        why = "Found so; Ferrule did not move it."
        write_entry(client, root, name, Move(alias, noted, now), action=BY_HAND, state=DONE, why=why)
        said.append(f"{alias} is {_say(now)} and was {_say(noted)} by the ledger; that is written down now.")
    return said


def _is_overtaken(entry: Entry, entries: list[Entry]) -> bool:
    """Tell whether the alias moved after `entry` was written."""
    return any(each.number > entry.number for each in entries if each.alias == entry.alias and each.state == DONE)


def _find_differences(entries: list[Entry], held: dict[str, str]) -> list[tuple[str, str | None, str | None]]:
    """Return (alias, version by the ledger, version by the registry) where these differ."""
    noted = {entry.alias: entry.after for entry in entries if entry.state == DONE}  # the last one stays
    both = [(alias, noted.get(alias), held.get(alias)) for alias in ALIASES]
    return [(alias, by_ledger, now) for alias, by_ledger, now in both if by_ledger != now]


def _read_holders(client: "MlflowClient", name: str) -> dict[str, str]:
    """Return the version that each alias means by the registry; nothing where the model is not registered."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    return {alias: str(version) for alias, version in aliases.items() if alias in ALIASES}


def _move(client: "MlflowClient", name: str, alias: str, version: str, run_id: str) -> None:
    client.set_registered_model_alias(name, alias, version)
    change_entry(client, run_id, DONE)


def _say(version: str | None) -> str:
    return f"version {version}" if version else "no version"
