"""The promotion flow on a real registry: first champion, refusal, the same again, and images the champion never saw."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ANYTHING
from trained_project import copy_project, run_stages, write_network, write_trained_project

from ferrule.errors import ParameterError, RegistryError
from ferrule.registry.aliases import CHAMPION, move_alias, read_history, reconcile
from ferrule.registry.ledger import EXPERIMENT
from ferrule.registry.versions import SERVED_TAG, find_version
from ferrule.samples import Samples, load_samples, save_samples
from ferrule.store import open_store
from flows import promotion
from flows.promotion import promote_challenger
from flows.rollback import roll_back

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        root = tmp_path_factory.mktemp("made")
        write_trained_project(root, votes=False)
        run_stages(root)
    return root


@pytest.fixture
def root(made, tmp_path, monkeypatch):
    """Give a project with one registered version, whose network can read the made-up images."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copy_project(made, tmp_path / "project")


@pytest.fixture(scope="module")
def made_weak(made, tmp_path_factory):
    root = copy_project(made, tmp_path_factory.mktemp("made") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        move_alias(root, "ferrule", CHAMPION, "1")
        set_gate(root, **STRICT)
        write_network(root / "artifacts" / "train" / "model.keras", skill=0.0)
        run_stages(root)
    return root


@pytest.fixture
def weak(made_weak, tmp_path, monkeypatch):
    """Give a project with a strict gate and a challenger that cannot tell the images apart; version 1 is champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copy_project(made_weak, tmp_path / "project")


STRICT = {**ANYTHING, "mode": "better"}


def set_gate(root, **values):
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["promotion"] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def test_the_first_that_passes_becomes_champion_and_asking_again_changes_nothing(root):
    first = promote_challenger(root)
    assert (first.version, first.outcome) == ("1", "promoted")
    assert find_version(root, "ferrule", CHAMPION).version == "1"
    again = promote_challenger(root)
    assert again.outcome == "unchanged"
    assert "champion already" in again.sentence


def test_a_gate_too_high_is_refused_with_its_reason(root):
    set_gate(root, min_accuracy=0.99)
    refused = promote_challenger(root)
    assert refused.refused
    assert "99.0 %" in refused.sentence
    assert find_version(root, "ferrule", CHAMPION) is None


def test_a_worse_challenger_is_refused_once_and_that_is_told_once(weak, monkeypatch):
    told = []
    monkeypatch.setattr(promotion, "notify", lambda *message: told.append(message))
    refused = promote_challenger(weak)
    assert (refused.version, refused.outcome) == ("2", "refused")
    assert "the champion, version 1" in refused.sentence
    assert find_version(weak, "ferrule", CHAMPION).version == "1"
    before = read_history(weak, "ferrule")

    again = promote_challenger(weak)
    assert (again.version, again.outcome) == ("2", "refused")
    assert "Nothing has changed since it was refused on 20" in again.sentence
    assert "the champion, version 1" in again.sentence
    assert read_history(weak, "ferrule") == before
    ((_, kind, sentence, facts),) = told
    assert (kind, sentence) == ("refusal", refused.sentence)
    assert facts == {"model": "ferrule", "version": "2", "champion_before": "1", "look": 1}
    json.dumps(facts)

    set_gate(weak, mode="not_worse")  # another question
    assert promote_challenger(weak).outcome == "promoted"
    assert told[-1][1] == "promotion"


def test_a_promotion_that_is_interrupted_while_it_is_told_is_done(root, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(promotion, "notify", interrupt)
    with pytest.raises(KeyboardInterrupt):
        promote_challenger(root)
    assert [(each.action, each.state) for each in read_history(root, "ferrule")][1:] == [("promotion", "done")]
    assert reconcile(root, "ferrule") == []
    assert find_version(root, "ferrule", CHAMPION).version == "1"


def draw_other_images(root):
    """Change a grey level in every image: the same faces to the eye, images that no model has seen to a hash."""
    samples = load_samples(root / "artifacts" / "augment")
    images = np.where(samples.images > 0, samples.images - np.uint8(1), samples.images)
    save_samples(Samples(images, samples.table), root / "artifacts" / "augment")


def looks_of(root, version):
    """Return how often a version looked at each set of test images, in the order of the numbers."""
    metrics = find_version(root, "ferrule", version).metrics
    return sorted(int(value) for name, value in metrics.items() if name.startswith("looks/"))


def entries(root, **wanted):
    """Return the entries of the ledger that have these values."""
    return [each for each in read_history(root, "ferrule") if all(getattr(each, k) == v for k, v in wanted.items())]


def test_a_champion_that_never_saw_the_test_images_predicts_them_now(root):
    set_gate(root, **ANYTHING)
    move_alias(root, "ferrule", CHAMPION, "1")
    draw_other_images(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    run_stages(root)
    promoted = promote_challenger(root)
    assert (promoted.version, promoted.outcome) == ("2", "promoted")
    assert "Of the same 60 test images it" in promoted.sentence


@pytest.mark.slow
def test_asking_three_times_costs_one_look_and_is_one_comparison(root):
    set_gate(root, **STRICT)
    move_alias(root, "ferrule", CHAMPION, "1")
    draw_other_images(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.0)
    run_stages(root)
    said = {promote_challenger(root).sentence}
    set_gate(root, max_size=99)
    said.add(promote_challenger(root).sentence)
    shutil.rmtree(root / "artifacts" / "augment")  # no image is asked for any more
    set_gate(root, max_size=98)
    said.add(promote_challenger(root).sentence)
    assert len(entries(root, state="refused")) == 3
    assert len(said) == 1
    assert "Of the same 60 test images it" in said.pop()
    assert looks_of(root, "1") == [1, 1]  # of its own test images, and of the other's


def swap_splits(root):
    """Let train and test change places, as another seed might: the champion was trained on half of the new test."""
    path = root / "artifacts" / "split" / "split.parquet"
    split = pd.read_parquet(path)
    train, test = (split.index[split["split"] == name] for name in ("train", "test"))
    split.loc[train, "split"] = "test"
    split.loc[test[: len(train)], "split"] = "train"
    split.to_parquet(path, index=False)


@pytest.mark.slow
def test_a_champion_is_not_asked_about_images_it_was_trained_on(root):
    set_gate(root, **ANYTHING)
    move_alias(root, "ferrule", CHAMPION, "1")
    swap_splits(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    run_stages(root)
    promoted = promote_challenger(root)
    assert promoted.outcome == "promoted"
    assert "Of the same 30 test images (30 more are left out: one of the two was trained" in promoted.sentence
    assert looks_of(root, "1") == [1]  # it had been asked about the 30 before


@pytest.mark.slow
def test_without_30_common_images_it_refuses_and_asks_nobody(root):
    set_gate(root, **ANYTHING)
    move_alias(root, "ferrule", CHAMPION, "1")
    swap_splits(root)
    path = root / "artifacts" / "split" / "split.parquet"
    split = pd.read_parquet(path)
    split.loc[split.index[split["split"] == "test"][-1], "split"] = "dropped"
    split.to_parquet(path, index=False)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    run_stages(root)
    refused = promote_challenger(root)
    assert refused.refused
    assert "only 29 of its 59 test images are new to both" in refused.sentence
    assert looks_of(root, "1") == [1]


def test_other_images_cannot_stand_in(root):
    set_gate(root, **ANYTHING)
    move_alias(root, "ferrule", CHAMPION, "1")
    draw_other_images(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    run_stages(root)
    draw_other_images(root)
    with pytest.raises(RegistryError, match="ferrule run"):
        promote_challenger(root)
    assert find_version(root, "ferrule", CHAMPION).version == "1"


def test_without_a_challenger_it_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_trained_project(tmp_path, network=False)
    with pytest.raises(RegistryError, match="ferrule run"):
        promote_challenger(tmp_path)
    assert not (tmp_path / "mlruns").exists()


def ledger_runs(root):
    client = open_store(root)
    return client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id], order_by=["start_time"])


def test_a_decision_is_a_run_with_numbers_reasons_and_files(weak):
    root, refused = weak, promote_challenger(weak)
    run = ledger_runs(root)[-1]
    assert run.info.status == "FINISHED"
    tags, numbers = run.data.tags, run.data.metrics
    assert (tags["ledger.action"], tags["ledger.state"]) == ("promotion", "refused")
    assert (tags["ledger.before"], tags["ledger.after"]) == ("1", "2")
    assert tags["ledger.why"] == " ".join(refused.reasons)
    assert tags["ledger.who"]
    assert tags["ledger.flow_run_id"]
    assert numbers["look"] == 1
    assert numbers["level"] == pytest.approx(0.0304, abs=1e-4)
    assert numbers["accuracy_gain"] == pytest.approx((numbers["won"] - numbers["lost"]) / numbers["images"])
    assert 0 < numbers["challenger_ms_batch"] < numbers["challenger_ms_single"]
    client, folder = open_store(root), root / "read"
    folder.mkdir()
    content = json.loads(Path(client.download_artifacts(run.info.run_id, "decision.json", folder)).read_text())
    assert content["comparison"]["scores"]["accuracy"]["rows"] == 60
    assert not content["promote"]
    text = Path(client.download_artifacts(run.info.run_id, "decision.md", folder)).read_text()
    assert "| **refused** | comparison |" in text
    assert "| macro F1 |" in text


@pytest.mark.slow
def test_another_challenger_is_another_look_and_deleting_the_first_takes_none_back(root):
    set_gate(root, **STRICT)
    promote_challenger(root)
    for look, skill in enumerate((0.0, 0.1, 0.2), start=1):
        write_network(root / "artifacts" / "train" / "model.keras", skill=skill)
        run_stages(root)
        assert f"comparison {look} of this model" in promote_challenger(root).sentence
        if look == 2:
            for run in ledger_runs(root):
                open_store(root).delete_run(run.info.run_id)


def test_data_that_is_not_validated_or_lineage_that_is_not_told_is_refused(root):
    client = open_store(root)
    client.delete_model_version_tag("ferrule", "1", "ferrule.dvc_lock")
    client.set_model_version_tag("ferrule", "1", "ferrule.validated", "false")
    refused = promote_challenger(root)
    assert "The data behind it did not pass validation." in refused.sentence
    assert "they lack ferrule.dvc_lock" in refused.sentence


@pytest.mark.slow
def test_a_champion_that_changes_meanwhile_is_compared_anew(root, monkeypatch):
    """The first comparison is with version 1; while it is made, version 2 becomes the champion."""
    set_gate(root, **ANYTHING)
    promote_challenger(root)
    for skill in (0.4, 0.5):
        write_network(root / "artifacts" / "train" / "model.keras", skill=skill)
        run_stages(root)
    measured = promotion.measure

    def move_meanwhile(root, known):
        if not entries(root, state="done", alias=CHAMPION, after="2"):
            move_alias(root, "ferrule", CHAMPION, "2", why="at the same time")
        return measured(root, known)

    monkeypatch.setattr(promotion, "measure", move_meanwhile)
    promoted = promote_challenger(root)
    assert promoted.outcome == "promoted"
    assert "the champion, version 2," in promoted.sentence
    assert len(entries(root, state="overtaken")) == 1
    assert entries(root, action="promotion", state="done")[-1].before == "2"


@pytest.mark.slow
def test_what_was_rolled_back_is_not_promoted_again(root):
    set_gate(root, **ANYTHING)
    promote_challenger(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    run_stages(root)
    assert promote_challenger(root).outcome == "promoted"
    roll_back(root, "It calls everybody sad")
    client = open_store(root)
    client.set_model_version_tag("ferrule", "2", SERVED_TAG, "of an older Ferrule")
    run_stages(root)  # the same bytes
    refused = promote_challenger(root)
    assert (refused.version, refused.outcome) == ("3", "refused")
    assert "was rolled back (It calls everybody sad); `ferrule rollback --to 3 --why TEXT`" in refused.sentence
    assert find_version(root, "ferrule", CHAMPION).version == "1"
    roll_back(root, "It was right after all", to="3")
    assert find_version(root, "ferrule", CHAMPION).version == "3"


def test_a_decision_that_breaks_off_is_closed(root, monkeypatch):
    def fail(*_):
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(promotion, "measure", fail)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        promote_challenger(root)
    (entry,) = entries(root, action="promotion")
    assert entry.state == "ended"
    assert "the disk is gone" in entry.why
    assert find_version(root, "ferrule", CHAMPION) is None


def test_a_person_has_no_word_where_the_numbers_decide(root):
    with pytest.raises(ParameterError, match=r"Expected promotion\.mode: manual"):
        promote_challenger(root, approve=True, why="I want it")
