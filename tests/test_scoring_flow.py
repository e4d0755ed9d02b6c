"""The scoring flow on a real registry: every input once, whatever lies beside it, whoever else is at it."""

import shutil
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click import UsageError
from filelock import FileLock
from test_notifications import receiver
from trained_project import CLASSES, run_stages, write_network, write_trained_project

from ferrule.emotions import class_ids
from ferrule.errors import RegistryError
from ferrule.layouts.streaming import digest_input
from ferrule.portable.model import open_pretrained
from ferrule.predictions import read_probabilities
from ferrule.pretrained import load_pretrained
from ferrule.registry.versions import CHALLENGER, describe_version
from ferrule.scoring.score import WORK
from ferrule.scoring.scored import FOLDER, INBOX, list_scored, read_scored
from ferrule.tracking import TEST_TAG
from flows.commands.scoring import score
from flows.pretrained import PRETRAINED_TAG
from flows.promotion import promote_challenger
from flows.report import print_scoring
from flows.scoring import IncompleteError, describe_scorer, open_scorer, read_rule, score_inbox
from flows.tasks import is_transient
from pipelines.params import load_params

pytestmark = pytest.mark.usefixtures("prefect_server")

RNG = np.random.default_rng(6)
IMAGES = (RNG.choice([60, 120, 180], 40)[:, None, None] + RNG.normal(0, 40, (40, 48, 48))).clip(0, 255).astype(np.uint8)
TEXTS = [" ".join(map(str, image.ravel())) for image in IMAGES]
PNGS = [cv2.imencode(".png", image)[1].tobytes() for image in IMAGES]


@pytest.fixture(scope="module")
def promoted(tmp_path_factory, prefect_server):
    """Give a project with a champion, version 1."""
    root = tmp_path_factory.mktemp("promoted")
    write_trained_project(root, votes=False)
    (root / "dvc.yaml").write_text("")
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("abstain_accuracy: 0.80", "abstain_accuracy: 0.60"))
    register_again(root)
    assert promote_challenger(root).version == "1"
    return root


@pytest.fixture
def root(promoted, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shutil.copytree(promoted, tmp_path / "project")


@pytest.fixture
def inbox(root):
    (root / FOLDER / INBOX).mkdir(parents=True)
    return root / FOLDER / INBOX


def register_again(root):
    run_stages(root)


def write_csv(path, numbers, header="pixels"):
    path.write_text("\n".join([header, *(TEXTS[number] for number in numbers)]) + "\n")
    return path


def write_pictures(folder, numbers):
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / f"{number}.png").write_bytes(PNGS[number])
    return folder


def outcomes(runs):
    return {run.source: run.outcome for run in runs}


def contents(root):
    return {path.name: path.read_bytes() for path in (root / FOLDER / "predictions").rglob("*.parquet")}


def test_everything_in_the_inbox_is_scored_once(root, inbox):
    write_csv(inbox / "test.csv", range(8))
    pq.write_table(pa.table({"png": PNGS[8:14]}), inbox / "new.parquet")
    write_pictures(inbox / "faces", range(14, 18))
    write_pictures(inbox / "sorted" / "happy", range(18, 20))
    write_pictures(root / "packed" / "in", range(20, 23))
    shutil.make_archive(str(inbox / "archive"), "zip", root / "packed")
    (inbox / "23.png").write_bytes(PNGS[23])
    runs = score_inbox(root)
    assert outcomes(runs) == dict.fromkeys(
        ("23.png", "archive.zip", "faces", "new.parquet", "sorted", "test.csv"), "scored"
    )
    assert sum(run.told.images for run in runs) == 24
    table, before = read_scored(root), contents(root)
    assert table["pixel_hash"].nunique() == 24
    assert "archive.zip/in/20.png" in set(table["source_file"])
    assert set(table["model_version"]) == {"1"}
    assert set(outcomes(score_inbox(root)).values()) == {"known"}
    (inbox / "test.csv").rename(inbox / "renamed.csv")  # the same bytes
    write_csv(inbox / "more.csv", [30])
    assert outcomes(score_inbox(root))["renamed.csv"] == "known"
    assert contents(root).items() > before.items()
    assert len(read_scored(root)) == 25


def test_temperature_and_threshold_come_from_the_champions_own_validation_images(root, inbox):
    write_csv(inbox / "new.csv", range(40))
    score_inbox(root)
    scorer = open_scorer(root, "ferrule", "1")
    val = pd.read_parquet(root / "artifacts" / "evaluate" / "predictions.parquet").query("split == 'val'")
    from ferrule.calibration import apply_temperature, fit_temperature

    labels, probabilities = np.array(class_ids(val["label"], CLASSES)), read_probabilities(val, CLASSES)
    assert scorer.temperature == pytest.approx(fit_temperature(labels, probabilities), abs=1e-4)
    confidence = apply_temperature(probabilities, scorer.temperature).max(axis=1)
    answered = confidence >= scorer.abstention.threshold
    assert (probabilities.argmax(axis=1) == labels)[answered].mean() >= 0.6
    assert f"answers {answered.mean():.1%}" in describe_scorer(scorer)
    table = read_scored(root)
    assert (table["abstained"] == (table["confidence"] < scorer.abstention.threshold)).all()


def test_a_target_out_of_reach_is_said_and_every_image_abstained_on(root, inbox):
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("abstain_accuracy: 0.60", "abstain_accuracy: 0.999"))
    write_csv(inbox / "new.csv", range(5))
    (run,) = score_inbox(root)
    assert (run.told.answered, run.told.threshold) == (0, None)
    assert "no threshold reaches" in describe_scorer(open_scorer(root, "ferrule", "1"))


def test_what_cannot_be_read_keeps_nothing_else_from_being_scored(root, inbox):
    (inbox / "empty.csv").write_text("")
    (inbox / "none.csv").write_text("pixels\n")
    (inbox / "bad.csv").write_text("pixels\n1 2 3\n")
    (inbox / "hole").mkdir()
    pd.DataFrame({"a": [1]}).to_parquet(inbox / "columns.parquet")
    (inbox / "archive.zip").write_bytes(b"PK\x03\x04 cut")
    faces = write_pictures(inbox / "faces", range(3))
    (faces / "broken.png").write_bytes(PNGS[3][:500])
    write_csv(inbox / "good.csv", range(5)).open("a").write("1 2 3\n")
    with pytest.raises(IncompleteError, match=r"8 inputs; 6 failed .*; the first, archive\.zip: .* archive") as caught:
        score_inbox(root)
    runs = {run.source: run for run in caught.value.runs}
    assert {name for name, run in runs.items() if run.outcome == "scored"} == {"faces", "good.csv"}
    for name, words in {
        "empty.csv": "it is empty",
        "none.csv": "it has none",
        "bad.csv": "1 rows or files of it cannot be read",
        "hole": "it is empty",
        "columns.parquet": "it has a; name the column",
        "archive.zip": "whole archive",
    }.items():
        assert words in runs[name].reason
    assert (runs["faces"].told.rejects, runs["good.csv"].told.rejects) == (1, 1)
    rejects = pd.concat(map(pd.read_parquet, (root / FOLDER / "rejects").rglob("*.parquet")))
    assert sorted(rejects["reason"]) == ["truncated image", "wrong pixel count", "wrong pixel count"]
    assert len(read_scored(root)) == 8
    assert "(new: archive.zip, bad.csv, columns.parquet, empty.csv, hole and 1 more)" in str(caught.value)


def test_what_failed_before_is_told_apart_and_not_notified_again(root, inbox, monkeypatch):
    (inbox / "allbad.csv").write_text("pixels\n1 2 3\n")
    (inbox / "twin.csv").write_text("pixels\n1 2 3\n")
    (inbox / "hole").mkdir()
    with receiver() as (address, messages):
        monkeypatch.setenv("FERRULE_WEBHOOK_URL", address)
        with pytest.raises(IncompleteError, match=r"\(new: allbad\.csv, hole, twin\.csv\)"):
            score_inbox(root)
        with pytest.raises(IncompleteError, match=r"\(still: allbad\.csv, hole, twin\.csv\)"):
            score_inbox(root)
        assert len(messages) == 1
        (inbox / "b.csv").write_text("pixels\n4 5 6\n")
        with pytest.raises(
            IncompleteError, match=r"\(new: b\.csv; still: allbad\.csv, hole, twin\.csv\); the first, b"
        ):
            score_inbox(root)
        assert len(messages) == 2
        (inbox / "allbad.csv").write_text("pixels\n7 8 9\n")  # another content: a new failure
        with pytest.raises(IncompleteError, match=r"\(new: allbad\.csv; still: b\.csv, hole, twin\.csv\)"):
            score_inbox(root)
        assert len(messages) == 3


def test_copies_within_a_run_are_named_and_not_known_before(root, inbox, capsys):
    for name in ("test.csv", "twin.csv"):
        write_csv(inbox / name, range(3))
    runs = score_inbox(root)
    assert outcomes(runs) == {"test.csv": "scored", "twin.csv": "copy"}
    print_scoring(runs)
    printed = capsys.readouterr().out
    assert "twin.csv (copy): same as test.csv" in printed
    assert "0 known before" in printed
    assert outcomes(score_inbox(root)) == {"test.csv": "known", "twin.csv": "known"}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["/nix"], UsageError, "Expected a file or folder at /nix; there is none; check the path"),
        (["--version", "3"], RegistryError, "Expected 3 among the versions .* see `ferrule registry list`"),
    ],
)
def test_a_slip_of_the_command_starts_no_flow(arguments, error, words, root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setattr("flows.ui.ensure_prefect", lambda root: pytest.fail("the flow is about to start"))
    with pytest.raises(error, match=words):
        score.main(arguments, standalone_mode=False)


@pytest.mark.slow
def test_a_new_champion_scores_again_only_what_it_is_told_to(root, inbox):
    write_csv(inbox / "old.csv", range(5))
    score_inbox(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    register_again(root)
    write_csv(inbox / "new.csv", range(5, 9))
    assert outcomes(score_inbox(root, which=CHALLENGER)) == {"new.csv": "scored", "old.csv": "known"}
    again = score_inbox(root, which="2", again=True)
    assert outcomes(again) == {"new.csv": "known", "old.csv": "scored"}
    assert set(outcomes(score_inbox(root, which="2", again=True)).values()) == {"known"}
    assert read_scored(root).groupby("model_version").size().to_dict() == {"1": 5, "2": 9}


def test_one_input_alone_and_an_empty_inbox(root, inbox, tmp_path):
    assert score_inbox(root) == []
    write_csv(inbox / "left.csv", range(3))
    folder = write_pictures(tmp_path / "photos", range(4))
    assert outcomes(score_inbox(root, source=folder)) == {"photos": "scored"}
    with pytest.raises(IncompleteError, match="nowhere"):
        score_inbox(root, source=tmp_path / "nowhere.csv")


def test_an_input_that_another_process_has_is_left_to_it(root, inbox):
    path = write_csv(inbox / "new.csv", range(3))
    (root / FOLDER / WORK).mkdir()
    with FileLock(root / FOLDER / WORK / f"{digest_input(path)[:2]}.lock"):
        assert outcomes(score_inbox(root)) == {"new.csv": "busy"}
        assert not list_scored(root)
    assert outcomes(score_inbox(root)) == {"new.csv": "scored"}


def test_a_network_that_cannot_be_loaded_scores_nothing_and_says_so(root, inbox):
    write_csv(inbox / "new.csv", range(3))
    for network in (root / "mlruns" / "artifacts").rglob("model.keras"):
        network.write_bytes(b"no network")
    with pytest.raises(RegistryError, match=r"cannot be loaded .* nothing was scored"):
        score_inbox(root)
    assert not list_scored(root)


def test_without_a_champion_or_its_validation_images_it_is_one_sentence(root, inbox):
    write_csv(inbox / "new.csv", range(3))
    with pytest.raises(RegistryError, match="Expected 7 among the versions"):
        score_inbox(root, which="7")
    info = describe_version(root, "ferrule", "1")
    for path in (root / "mlruns" / "artifacts").rglob(f"{info.run_id}/artifacts/evaluate/predictions.parquet"):
        path.unlink()
    with pytest.raises(RegistryError, match="predictions on validation images"):
        score_inbox(root)


def test_the_model_that_ships_has_its_temperature_and_thresholds_in_its_bundle(root):
    card = load_pretrained().card
    tags = card.lineage | {TEST_TAG: card.test_md5, PRETRAINED_TAG: "true"}
    info = replace(describe_version(root, "ferrule", "1"), run_id="none", tags=tags)
    temperature, rule = read_rule(root, info, load_params(root).scoring)
    assert (temperature, rule) == (card.temperature, open_pretrained().abstention(0.6))
    older = replace(info, tags=tags | {TEST_TAG: "another"})
    with pytest.raises(RegistryError, match="import the pretrained model again"):
        read_rule(root, older, load_params(root).scoring)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError("gone"), True),
        (OSError(116, "Stale file handle"), True),
        (RegistryError("Max retries exceeded with url"), True),
        (RegistryError("no such version"), False),
        (OSError(28, "No space left on device"), False),
        (KeyError("pixels"), False),
    ],
)
def test_only_what_passes_is_worth_a_retry(error, expected):
    from prefect.states import Failed

    assert is_transient(None, None, Failed(data=error)) is expected


def start_command(root, *arguments):
    code = "from ferrule.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "score", *map(str, arguments)], cwd=root, stdout=-1, stderr=-1, text=True
    )


@pytest.mark.slow
def test_a_killed_command_goes_on_and_two_at_once_score_each_image_once(root, inbox):
    """The command itself: kill -9 amid the chunks, then two at once on what is left."""
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("chunk_images: 2048", "chunk_images: 64"))
    write_csv(inbox / "large.csv", list(range(40)) * 400)
    first = start_command(root)
    work = root / FOLDER / WORK
    deadline = time.monotonic() + 150
    while len(list(work.rglob("*.parquet"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    first.communicate()
    assert not list_scored(root)
    kept = {path: path.stat().st_mtime_ns for path in work.rglob("[0-9]*.parquet")}
    assert len(kept) >= 3
    both = [start_command(root) for _ in range(2)]
    printed = [process.communicate(timeout=250) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    ((_, told),) = list_scored(root)
    assert told.images == len(read_scored(root, columns=["source_row"]).drop_duplicates()) == 16_000
    assert any("scored" in out and "16,000" in out for out, _ in printed)


@pytest.mark.slow
def test_the_command_fails_with_a_sentence_after_its_table(root, inbox):
    write_csv(inbox / "good.csv", range(3))
    (inbox / "empty.csv").write_text("")
    process = start_command(root)
    printed, errors = process.communicate(timeout=250)
    assert process.returncode == 1
    assert "good.csv" in printed
    assert (
        "ferrule: Expected to score 2 inputs; 1 failed (new: empty.csv); the first, empty.csv: Expected rows" in errors
    )
    assert "Traceback" not in errors
