"""The promotion flow on a real registry: first champion, refusal, the same again, and images the champion never saw."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from trained_project import write_network, write_trained_project

from ferrule.errors import RegistryError
from ferrule.registry import CHAMPION, find_version
from ferrule.samples import Samples, load_samples, save_samples
from flows.promotion import promote_challenger
from pipelines import evaluate, register
from pipelines.params import load_params

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Give a project with one registered version, whose network can read the made-up images."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_trained_project(tmp_path, votes=False)
    register_again(tmp_path)
    return tmp_path


def register_again(root):
    for stage in (evaluate, register):
        stage.run(load_params(root), root)


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


def test_a_worse_challenger_leaves_the_champion_where_it_is(root):
    set_gate(root, min_accuracy=0.0, min_class_recall=0.0)
    promote_challenger(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.0)
    register_again(root)
    refused = promote_challenger(root)
    assert (refused.version, refused.outcome) == ("2", "refused")
    assert "the champion, version 1" in refused.sentence
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


def test_a_champion_that_never_saw_the_test_images_predicts_them_now(root):
    set_gate(root, min_accuracy=0.0, min_class_recall=0.0)
    promote_challenger(root)
    draw_other_images(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    register_again(root)
    promoted = promote_challenger(root)
    assert (promoted.version, promoted.outcome) == ("2", "promoted")
    assert "Of the same 60 test images it" in promoted.sentence


def test_asking_three_times_costs_one_look(root):
    set_gate(root, min_accuracy=0.0, min_class_recall=0.0)
    promote_challenger(root)
    draw_other_images(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.0)
    register_again(root)
    said = {promote_challenger(root).sentence for _ in range(2)}
    shutil.rmtree(root / "artifacts" / "augment")  # no image is asked for any more
    said.add(promote_challenger(root).sentence)
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


def test_a_champion_is_not_asked_about_images_it_was_trained_on(root):
    set_gate(root, min_accuracy=0.0, min_class_recall=0.0)
    promote_challenger(root)
    swap_splits(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    register_again(root)
    promoted = promote_challenger(root)
    assert promoted.outcome == "promoted"
    assert "Of the same 30 test images (30 more are left out: one of the two was trained" in promoted.sentence
    assert looks_of(root, "1") == [1]  # it had been asked about the 30 before


def test_without_30_common_images_it_refuses_and_asks_nobody(root):
    set_gate(root, min_accuracy=0.0, min_class_recall=0.0)
    promote_challenger(root)
    swap_splits(root)
    path = root / "artifacts" / "split" / "split.parquet"
    split = pd.read_parquet(path)
    split.loc[split.index[split["split"] == "test"][-1], "split"] = "dropped"
    split.to_parquet(path, index=False)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    register_again(root)
    refused = promote_challenger(root)
    assert refused.refused
    assert "only 29 of its 59 test images are new to both" in refused.sentence
    assert looks_of(root, "1") == [1]


def test_artifacts_of_another_model_cannot_stand_in(root):
    set_gate(root, min_accuracy=0.0, min_class_recall=0.0)
    promote_challenger(root)
    draw_other_images(root)
    write_network(root / "artifacts" / "train" / "model.keras", skill=0.5)
    register_again(root)
    noted = root / "artifacts" / "register" / "version.json"
    noted.write_text(json.dumps(json.loads(noted.read_text()) | {"model_md5": "another"}))
    with pytest.raises(RegistryError, match="ferrule run"):
        promote_challenger(root)
    assert find_version(root, "ferrule", CHAMPION).version == "1"


def test_without_a_challenger_it_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_trained_project(tmp_path, network=False)
    with pytest.raises(RegistryError, match="ferrule run"):
        promote_challenger(tmp_path)
