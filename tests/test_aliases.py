"""Aliases and their ledger: moves, interruptions, moves by hand, and eight processes at once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from conftest import REPOSITORY
from filelock import FileLock

from ferrule.errors import RegistryError
from ferrule.registry import aliases, ledger
from ferrule.registry.aliases import (
    CHALLENGER,
    CHAMPION,
    OvertakenError,
    carry_out,
    check_ledger,
    end_decision,
    find_withdrawal,
    list_former,
    move_alias,
    note_decision,
    open_decision,
    read_history,
    reconcile,
)
from ferrule.registry.ledger import Entry, claim_look
from ferrule.store import open_store
from ferrule.tracking import MODEL_TAG

NAME = "ferrule"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        root = tmp_path_factory.mktemp("made")
        client = open_store(root)
        client.create_registered_model(NAME)
        for number in range(3):
            client.create_model_version(NAME, f"file:///nowhere/{number}", tags={MODEL_TAG: f"md5 of {number + 1}"})
    return root


@pytest.fixture
def root(made, tmp_path, monkeypatch):
    """Give a store with three versions, without files, and no alias."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shutil.copytree(made, tmp_path / "project")


def holders(root):
    return {name: str(v) for name, v in open_store(root).get_registered_model(NAME).aliases.items()}


def lines(root, alias=CHAMPION):
    return [
        (each.action, each.before, each.after, each.state) for each in read_history(root, NAME) if each.alias == alias
    ]


def promote(root, version, before, why="better"):
    carry_out(root, NAME, open_decision(root, NAME, "promotion", before, version), why=why)


def test_a_move_is_an_entry_and_the_same_again_is_none(root):
    for _ in range(2):
        move_alias(root, NAME, CHALLENGER, "1", action="registration", why="It is new.")
    (entry,) = read_history(root, NAME)
    assert (entry.number, entry.action, entry.before, entry.after, entry.state) == (
        1, "registration", None, "1", "done",
    )  # fmt: skip
    assert entry.why == "It is new."
    assert entry.who.endswith(os.uname().nodename)
    assert holders(root) == {CHALLENGER: "1"}
    assert open_store(root).get_run(entry.run_id).info.status == "FINISHED"
    assert check_ledger(root, NAME) == []


def test_a_decision_that_is_carried_out_moves_the_champion(root):
    promote(root, "1", None)
    promote(root, "2", "1", why="It is better.")
    assert holders(root) == {CHAMPION: "2"}
    assert lines(root) == [("promotion", None, "1", "done"), ("promotion", "1", "2", "done")]
    assert read_history(root, NAME)[-1].why == "It is better."


def test_a_decision_over_a_champion_that_is_gone_is_not_carried_out(root):
    promote(root, "1", None)
    late = open_decision(root, NAME, "promotion", "1", "2")
    promote(root, "3", "1")
    with pytest.raises(OvertakenError, match="Expected version 1 as champion, as it was judged; it is version 3; ask"):
        carry_out(root, NAME, late, why="better")
    assert holders(root) == {CHAMPION: "3"}
    assert ("promotion", "1", "2", "overtaken") in lines(root)
    assert check_ledger(root, NAME) == []


def test_a_champion_that_went_and_came_back_was_not_the_one_judged_with(root):
    promote(root, "1", None)
    late = open_decision(root, NAME, "promotion", "1", "2")
    promote(root, "3", "1")
    promote(root, "1", "3")
    with pytest.raises(OvertakenError):
        carry_out(root, NAME, late, why="better")
    assert holders(root) == {CHAMPION: "1"}
    assert check_ledger(root, NAME) == []


def test_what_was_moved_by_hand_is_found_and_written_down_once(root):
    promote(root, "1", None)
    client = open_store(root)
    client.set_registered_model_alias(NAME, CHAMPION, "3")
    (finding,) = check_ledger(root, NAME)
    assert finding.sentence == "The alias champion is version 3; by the ledger it is version 1."
    assert len(lines(root)) == 1, "asking changes nothing"
    assert reconcile(root, NAME) == [
        "champion is version 3 and was version 1 by the ledger; that is written down now.",
    ]
    assert reconcile(root, NAME) == []
    assert lines(root)[-1] == ("by hand", "1", "3", "done")
    client.delete_registered_model_alias(NAME, CHAMPION)
    promote(root, "2", None)  # whoever acts next writes it down first
    assert lines(root)[-2:] == [("by hand", "3", None, "done"), ("promotion", None, "2", "done")]
    assert check_ledger(root, NAME) == []


@pytest.mark.parametrize(
    ("when", "state", "now"), [("before", "undone", {CHAMPION: "1"}), ("after", "done", {CHAMPION: "2"})]
)
def test_a_process_killed_around_the_move_is_settled_by_the_next_action(root, when, state, now):
    promote(root, "1", None)
    script = f"""
        import os, signal
        from pathlib import Path
        from mlflow import MlflowClient
        from ferrule.registry.aliases import carry_out, open_decision

        move = MlflowClient.set_registered_model_alias

        def die(self, *arguments):
            if {when == "after"}:
                move(self, *arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        MlflowClient.set_registered_model_alias = die
        root = Path({str(root)!r})
        carry_out(root, "ferrule", open_decision(root, "ferrule", "promotion", "1", "2"), why="better")
    """
    done = run_script(script)
    assert done.wait(120) == -signal.SIGKILL
    assert lines(root)[-1] == ("promotion", "1", "2", "intended")
    (finding, *rest) = check_ledger(root, NAME)
    assert "Entry 2 (promotion of champion) is intended, and nobody is at it." in finding.sentence
    assert len(rest) == (when == "after")
    move_alias(root, NAME, CHALLENGER, "3")
    assert lines(root)[-1] == ("promotion", "1", "2", state)
    assert {CHAMPION: holders(root)[CHAMPION]} == now
    assert check_ledger(root, NAME) == []


def test_a_decision_whose_process_is_gone_is_ended(root):
    script = f"""
        from pathlib import Path
        from ferrule.registry.aliases import open_decision
        open_decision(Path({str(root)!r}), "ferrule", "promotion", None, "1")
    """
    assert run_script(script).wait(120) == 0
    assert "is judging, and nobody is at it." in check_ledger(root, NAME)[0].sentence
    mine = open_decision(root, NAME, "promotion", None, "2")
    assert [each.state for each in read_history(root, NAME)] == ["ended", "judging"]
    note_decision(root, mine, "waiting")
    assert check_ledger(root, NAME) == []


def test_only_a_decision_that_is_open_can_break_off(root):
    for state in ("judging", "waiting"):
        mine = open_decision(root, NAME, "promotion", None, "1")
        note_decision(root, mine, state)
        end_decision(root, mine, "It broke off: the disk is gone")
        assert lines(root)[-1][-1] == "ended"
    promoted = open_decision(root, NAME, "promotion", None, "1")
    carry_out(root, NAME, promoted, why="better")
    end_decision(root, promoted, "It broke off: KeyboardInterrupt()")
    assert (lines(root)[-1][-1], read_history(root, NAME)[-1].why) == ("done", "better")


def test_a_move_after_which_the_store_failed_is_done_and_not_by_hand(root, monkeypatch):
    def fail_when_done(client, run_id, state, **facts):
        if state == "done":
            raise RuntimeError("database is locked")
        ledger.change_entry(client, run_id, state, **facts)

    mine = open_decision(root, NAME, "promotion", None, "1")
    with monkeypatch.context() as patch:
        patch.setattr(aliases, "change_entry", fail_when_done)
        with pytest.raises(RuntimeError, match="locked"):
            carry_out(root, NAME, mine, why="better")
        end_decision(root, mine, "It broke off: database is locked")
    assert lines(root)[-1][-1] == "intended"
    assert reconcile(root, NAME) == ["Entry 1, promotion of champion, was cut short; it is done now."]
    assert [each.why for each in read_history(root, NAME)] == ["better"]


def run_script(script):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MLFLOW_DISABLE_TELEMETRY": "true"}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], env=environment, cwd=REPOSITORY)


WORKER = """
    import json, random, sys
    from pathlib import Path
    from ferrule.registry.aliases import *
    from ferrule.registry.aliases import OvertakenError
    from ferrule.store import open_store

    root, kind, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    client, said = open_store(root), []
    while not (root / "go").exists():
        pass
    for turn in range(4):
        held = client.get_registered_model("ferrule").aliases
        try:
            if kind == "register":
                version = str(client.create_model_version("ferrule", f"file:///nowhere/{number}/{turn}").version)
                move_alias(root, "ferrule", "challenger", version, action="registration")
            else:
                former = list_former(read_history(root, "ferrule"))
                to = held["challenger"] if kind == "promotion" else next(iter(former), None)
                if to and str(to) != str(held["champion"]):
                    entry = open_decision(root, "ferrule", kind, str(held["champion"]), str(to))
                    carry_out(root, "ferrule", entry, why=kind)
                    said.append(str(to))
        except OvertakenError:
            pass
    print(json.dumps(said))
"""


@pytest.mark.slow
def test_eight_processes_at_once_leave_one_champion_and_a_ledger_that_agrees(root):
    move_alias(root, NAME, CHALLENGER, "2")
    promote(root, "1", None)
    kinds = ["promotion"] * 3 + ["rollback"] * 2 + ["register"] * 3
    script = root / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MLFLOW_DISABLE_TELEMETRY": "true"}
    workers = [
        subprocess.Popen(
            [sys.executable, str(script), str(root), kind, str(number)],
            env=environment, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number, kind in enumerate(kinds)
    ]  # fmt: skip
    time.sleep(1)
    (root / "go").touch()
    answers = [worker.communicate(timeout=240) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 8, [error[-1500:] for _, error in answers]
    moved = [version for said, _ in answers for version in json.loads(said)]

    entries, held = read_history(root, NAME), holders(root)
    assert set(held) == {CHALLENGER, CHAMPION}
    assert check_ledger(root, NAME) == []
    assert [each.number for each in entries] == list(range(1, len(entries) + 1))
    assert {each.state for each in entries} <= {"done", "overtaken"}
    for alias in (CHALLENGER, CHAMPION):
        chain = [each for each in entries if each.alias == alias and each.state == "done"]
        for before, after in pairwise(chain):
            assert after.before == before.after, "each move starts where the one before it ended"
        assert chain[-1].after == held[alias]
    assert sorted(moved) == sorted(
        each.after for each in entries if each.alias == CHAMPION and each.state == "done" and each.number > 2
    )
    registered = [each for each in entries if each.action == "registration" and each.state == "done"]
    assert len(registered) == 12


def test_a_lock_that_does_not_come_free_is_one_sentence(root, monkeypatch):
    monkeypatch.setattr(ledger, "LOCK_TIMEOUT", 0.2)
    with (
        FileLock(root / "mlruns" / "mlflow.db.lock"),
        pytest.raises(RegistryError, match=r"Expected the registry free within 0\.2 seconds; another process holds"),
    ):
        move_alias(root, NAME, CHAMPION, "1")
    assert holders(root) == {}


def entry(action, before, after, state="done", alias=CHAMPION):
    return Entry("", 1, action, alias, before, after, state, "", "", "", "", None)


@pytest.mark.parametrize(
    ("entries", "former"),
    [
        ([], None),
        ([entry("promotion", None, "1")], None),
        ([entry("promotion", None, "1"), entry("promotion", "1", "2")], "1"),
        ([entry("promotion", None, "1"), entry("promotion", "1", "2", state="refused")], None),
        ([entry("promotion", None, "1"), entry("registration", "1", "2", alias=CHALLENGER)], None),
        (
            [
                entry("promotion", None, "1"),
                entry("promotion", "1", "2"),
                entry("promotion", "2", "3"),
                entry("rollback", "3", "2"),
            ],
            "1",  # and not 3 again
        ),
        ([entry("promotion", None, "1"), entry("by hand", "1", "2"), entry("promotion", "2", "1")], "2"),
        (
            [
                entry("promotion", None, "1"),
                entry("promotion", "1", "2"),
                entry("promotion", "2", "3"),
                entry("by hand", "3", None),
            ],
            "3",  # nobody holds it now
        ),
    ],
)
def test_the_former_champion_is_the_one_before_and_a_second_rollback_goes_further_back(entries, former):
    assert next(iter(list_former(entries)), None) == former


@pytest.mark.parametrize(
    ("actions", "why"), [(["promotion"], None), (["rollback"], "sad"), (["rollback", "promotion"], None)]
)
def test_what_was_rolled_back_is_withdrawn_until_it_was_champion_again(actions, why):
    entries = [replace(entry(action, "2", "1"), why="sad") for action in actions]
    assert find_withdrawal(entries, "2", "") == why
    assert find_withdrawal(entries, "1", "") is None


def test_what_was_rolled_back_is_withdrawn_under_another_number_and_without_its_version(root):
    """After an upgrade the same bytes are registered anew."""
    promote(root, "1", None)
    promote(root, "2", "1")
    carry_out(root, NAME, open_decision(root, NAME, "rollback", "2", "1"), why="sad")
    open_store(root).delete_model_version(NAME, "2")
    entries = read_history(root, NAME)
    assert find_withdrawal(entries, "4", "md5 of 2") == "sad"
    assert find_withdrawal(entries, "4", "md5 of 3") is None
    assert find_withdrawal(entries, "1", "md5 of 1") is None


def test_a_rollback_that_is_taken_back_withdraws_nothing(root):
    promote(root, "1", None)
    promote(root, "2", "1")
    for before, after in (("2", "1"), ("1", "2")):
        carry_out(root, NAME, open_decision(root, NAME, "rollback", before, after), why="sad")
    assert find_withdrawal(read_history(root, NAME), "4", "md5 of 2") is None


def test_looks_are_counted_over_all_test_images_and_never_fall(root):
    def claim(pair, images="a", name=NAME):
        return claim_look(root, open_decision(root, name, "promotion", None, "1"), images, pair)

    assert claim(("2", "1")) == 1
    assert claim(("3", "1")) == 2
    assert claim(("2", "1")) == 1, "the same comparison again"
    assert claim(("1", "2")) == 3, "the other way round it is another question"
    assert claim(("2", "1"), images="b") == 4, "one image more is no new test set"
    assert claim(("2", "1"), name="other") == 1
    for each in read_history(root, NAME):
        open_store(root).delete_run(each.run_id)
    assert claim(("5", "1")) == 5


def test_asking_about_a_project_without_a_store_makes_none(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert check_ledger(tmp_path, NAME) == []
    assert read_history(tmp_path, NAME) == []
    assert not (tmp_path / "mlruns").exists()
