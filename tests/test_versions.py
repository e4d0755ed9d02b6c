"""`ferrule registry` and `ferrule rollback` on a real registry: what is printed, written, moved, and not looked at."""

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import REPOSITORY
from trained_project import copy_project, run_stages, write_network, write_trained_project

from ferrule.errors import RegistryError
from ferrule.registry.aliases import CHAMPION, carry_out, open_decision, read_history
from ferrule.registry.versions import find_version
from ferrule.store import open_store
from flows import rollback as rollback_module
from flows.commands.registry import registry, rollback
from flows.comparing import compare_versions
from flows.rollback import roll_back
from flows.versions import write_disagreements


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Give a project with three versions; 1, then 2 were champion, 3 never was. The artifacts are those of 3."""
    root = tmp_path_factory.mktemp("made")
    write_trained_project(root, votes=False)
    (root / "dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    for before, skill in ((None, 1.0), ("1", 0.3), (None, 0.0)):
        write_network(root / "artifacts" / "train" / "model.keras", skill=skill)
        run_stages(root)
        if skill:
            version = find_version(root, "ferrule", "challenger").version
            carry_out(
                root, "ferrule", open_decision(root, "ferrule", "promotion", before, version), why="It is better."
            )
    return root


@pytest.fixture
def root(made, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = copy_project(made, tmp_path / "project")
    monkeypatch.chdir(root)
    return root


def say(command, *words):
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def champion(root):
    return find_version(root, "ferrule", CHAMPION).version


def test_versions_and_history_are_told(root):
    listed = say(registry, "list")
    assert [line.split()[0] for line in listed.splitlines()[2:]] == ["3", "2", "1"]
    assert "champion" in listed
    assert "86.7 % (" in listed
    history = say(registry, "history")
    for words in ("registration", "promotion", "champion", "It is better.", "done"):
        assert words in history
    entries = json.loads(say(registry, "history", "--json"))
    promoted = next(entry for entry in entries if entry["alias"] == "champion")
    assert promoted["why"] in " ".join(say(registry, "history", str(promoted["number"])).split())
    assert say(registry, "reconcile").strip() == "Aliases and ledger agree."


def test_one_command_returns_to_the_former_champion_and_says_why(root, monkeypatch):
    told = []
    monkeypatch.setattr(rollback_module, "notify", lambda *message: told.append(message))
    said = say(rollback, "--why", "It calls everybody angry")
    assert said.strip() == "Version 1 is the champion again; it was version 2. It calls everybody angry."
    assert champion(root) == "1"
    last = read_history(root, "ferrule")[-1]
    assert (last.action, last.before, last.after, last.state) == ("rollback", "2", "1", "done")
    assert last.why == "It calls everybody angry"
    assert told == [(root, "rollback", said.strip(), {"model": "ferrule", "version": "1", "champion_before": "2"})]
    with pytest.raises(RegistryError, match="Expected a champion before this one; the ledger knows none"):
        roll_back(root, "again")
    assert "Version 2 is the champion again" in roll_back(root, "it was right after all", to="2")


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("2", "version 2 is it already"),
        ("3", "version 3 never was, so it has not passed the gate"),
        ("9", "9 is none; see `ferrule registry list`"),
        ("champion", "champion is none"),
    ],
)
def test_a_rollback_that_makes_no_sense_moves_nothing(root, to, words):
    with pytest.raises(RegistryError, match=words):
        roll_back(root, "why not", to=to)
    assert champion(root) == "2"


@pytest.mark.parametrize("why", ["", " "])
def test_a_rollback_without_a_reason_is_refused(root, why):
    done = CliRunner().invoke(rollback, ["--why", why])
    assert done.exit_code == 2
    assert "Expected --why TEXT with a reason" in done.output
    assert champion(root) == "2"


def test_after_the_champion_was_deleted_the_last_one_that_is_left_returns(root):
    client = open_store(root)
    client.delete_registered_model_alias("ferrule", CHAMPION)
    assert "Version 2 is the champion again; there was none." in roll_back(root, "It was a slip")
    client.delete_registered_model_alias("ferrule", CHAMPION)
    client.delete_model_version("ferrule", "2")
    assert "Version 1 is the champion again" in roll_back(root, "It is gone for good")


def test_a_version_that_does_not_load_does_not_become_the_champion(root):
    for path in (root / "mlruns" / "artifacts" / "models").rglob("*.keras"):
        path.write_bytes(b"broken")
    with pytest.raises(RegistryError, match="Expected version 1 to load and answer; it does not"):
        roll_back(root, "why not")
    assert champion(root) == "2"


def looks(root):
    return [
        value
        for each in ("1", "2", "3")
        for name, value in find_version(root, "ferrule", each).metrics.items()
        if name.startswith("looks/")
    ]


def test_two_versions_stand_side_by_side_without_a_look(root, tmp_path):
    before = looks(root)
    out = tmp_path / "out"
    said = say(registry, "compare", "challenger", "1", "--out", str(out))
    for words in (
        "On the same 60 test images",
        "macro F1",
        "recall of angry",
        "They disagree on",
        "keep it out of git",
    ):
        assert words in " ".join(said.split()), said
    assert looks(root) == before == [1, 1, 1]
    table = pd.read_csv(out / "disagreements.csv")
    assert list(table.columns) == ["sample_id", "label", "version 3", "version 1", "right"]
    assert (table["version 3"] != table["version 1"]).all()
    assert (
        table.loc[table["right"] == "version 1", "version 1"] == table.loc[table["right"] == "version 1", "label"]
    ).all()
    assert (out / "disagreements.png").stat().st_size > 5000
    pairing = compare_versions(root, "3", "1")
    assert len(table) == len(pairing.list_disagreements())
    assert pairing.comparison.scores["accuracy"].gain < 0
    assert compare_versions(root, "1", "3").comparison.scores["accuracy"].gain > 0


def test_faces_are_written_only_where_the_artifacts_hold_them(root, tmp_path):
    pairing = compare_versions(root, "1", "3")
    path = root / "artifacts" / "augment" / "images.npy"
    np.save(path, np.load(path) // 2)
    with pytest.raises(RegistryError, match="others are there; bring back"):
        write_disagreements(root, pairing, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("one", "other", "words"), [("2", "champion", "are both 2"), ("1", "7", "Expected 7 among")])
def test_a_comparison_that_makes_no_sense_is_one_sentence(root, one, other, words):
    with pytest.raises(RegistryError, match=words):
        compare_versions(root, one, other)


def test_a_project_without_versions_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_trained_project(tmp_path, network=False)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    for words in (("list",), ("history",), ("compare", "1", "2")):
        with pytest.raises(RegistryError, match="run `ferrule run` first"):
            say(registry, *words)
    assert not (tmp_path / "mlruns").exists()
