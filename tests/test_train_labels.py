"""train.labels: what is left out or softened, and that nothing else changes; under `given` no FER+ vote is read."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from noisy_project import CLASSES, VOTED_AS, write_noisy_project
from tiny_training import SETTINGS

from ferrule.emotions import FERPLUS_VOTES
from ferrule.ensembles import mix_targets
from ferrule.errors import DataError, ParameterError
from ferrule.noise.softening import soften_labels
from ferrule.store import experiment_id, open_store
from ferrule.training import fingerprint_training
from pipelines import train
from pipelines.params import load_params
from pipelines.training_data import read_data

SUSPECTED = [1004, 1010, 1011]  # the first has a child


@pytest.fixture
def project(tmp_path):
    """Give a project after split and noise, of which three labels are suspected."""
    write_noisy_project(tmp_path)
    table = read_samples(tmp_path).query("sample_id == parent_id and sample_id < 1240")[["sample_id"]]
    (tmp_path / "artifacts" / "noise").mkdir()
    table.assign(suspected=table["sample_id"].isin(SUSPECTED)).to_parquet(noise_table(tmp_path), index=False)
    return tmp_path


def noise_table(project):
    return project / "artifacts" / "noise" / "out_of_fold.parquet"


def read_samples(project) -> pd.DataFrame:
    return pd.read_parquet(project / "artifacts" / "augment" / "samples.parquet")


def change_samples(project, change) -> None:
    path = project / "artifacts" / "augment" / "samples.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def spoil_votes(table):
    return table.assign(**{f"votes_{name}": "no number" for name in FERPLUS_VOTES})


def drop_votes(table):
    return table.drop(columns=[f"votes_{name}" for name in FERPLUS_VOTES])


@pytest.mark.parametrize("change", [spoil_votes, drop_votes])
@pytest.mark.parametrize("labels", ["given", "cleaned"])
def test_no_vote_is_read_where_labels_do_not_say_so(labels, change, project):
    """Votes that are no numbers, or none at all, change nothing of what decides the training."""
    before = read_data(project, CLASSES, labels)
    change_samples(project, change)
    after = read_data(project, CLASSES, labels)
    assert after.targets is None
    assert fingerprint_training(after, SETTINGS) == fingerprint_training(before, SETTINGS)
    with pytest.raises((DataError, ValueError)):
        read_data(project, CLASSES, "ferplus_soft")


def test_given_needs_no_suspicion(project):
    before = fingerprint_training(read_data(project, CLASSES), SETTINGS)
    noise_table(project).unlink()
    assert fingerprint_training(read_data(project, CLASSES), SETTINGS) == before


def test_cleaned_leaves_out_what_is_suspected_with_its_children_and_nothing_else(project):
    given, cleaned = (read_data(project, CLASSES, labels) for labels in ("given", "cleaned"))
    table = read_samples(project)
    suspected = table["parent_id"].isin(SUSPECTED)
    children = suspected & (table["sample_id"] != table["parent_id"])
    assert children.any()
    assert set(given.originals) - set(cleaned.originals) == set(np.flatnonzero(suspected & ~children))
    assert set(given.generated) - set(cleaned.generated) == set(np.flatnonzero(children))
    assert set(cleaned.originals) <= set(given.originals)
    assert set(cleaned.generated) <= set(given.generated)
    assert (cleaned.val == given.val).all()
    assert (cleaned.labels == given.labels).all()
    assert cleaned.targets is None


def test_ferplus_soft_changes_the_targets_and_nothing_else(project):
    def share(
        table,
    ):  # seven voters for the label's class, three for angry; one image without a class that voters agree on
        for name in FERPLUS_VOTES:
            table[f"votes_{name}"] = 7 * table["label"].map(VOTED_AS).eq(name) + 3 * (name == "anger")
        table.loc[4, [f"votes_{name}" for name in FERPLUS_VOTES]] = 0
        table.loc[4, ["votes_NF", "votes_anger", "votes_happiness"]] = [6, 2, 2]
        return table

    change_samples(project, share)
    given, soft = (read_data(project, CLASSES, labels) for labels in ("given", "ferplus_soft"))
    for rows in ("originals", "generated", "val", "labels"):
        assert (getattr(soft, rows) == getattr(given, rows)).all()
    expected = 0.7 * np.eye(3)[given.labels] + [0.3, 0, 0]
    expected[4] = np.eye(3)[given.labels[4]]
    trained = np.concatenate([soft.originals, soft.generated])
    assert soft.targets.dtype == np.float32
    assert soft.targets[trained] == pytest.approx(expected[trained])
    assert fingerprint_training(soft, SETTINGS) != fingerprint_training(given, SETTINGS)


@pytest.mark.parametrize(
    ("label", "votes", "target"),
    [
        (0, {"anger": 10}, [1, 0, 0]),
        (0, {"happiness": 10}, [0, 1, 0]),
        (0, {"happiness": 6, "neutral": 2, "contempt": 2}, [0, 0.75, 0.25]),
        (0, {"happiness": 5, "unknown": 5}, [1, 0, 0]),
        (2, {"sadness": 6, "neutral": 4}, [0, 0, 1]),  # a class that is left out
        (1, {}, [0, 1, 0]),
        (-1, {}, [0, 0, 0]),
        (-1, {"neutral": 1}, [0, 0, 1]),
    ],
)
def test_votes_are_shares_of_the_classes(label, votes, target):
    counts = pd.DataFrame([{f"votes_{name}": votes.get(name, 0) for name in FERPLUS_VOTES}])
    assert soften_labels(np.array([label]), counts, CLASSES).tolist() == [pytest.approx(target)]


def test_a_student_learns_from_soft_labels_too(project):
    """What is not said by its teachers is said by the votes, smoothed, and not by the labels."""
    data = read_data(project, CLASSES, "ferplus_soft")
    targets = mix_targets(data, [], replace(SETTINGS, distil=0.4, label_smoothing=0.3))
    trained = np.concatenate([data.originals, data.generated])
    assert (data.targets[trained].argmax(axis=1) != data.labels[trained]).any()
    assert targets[trained] == pytest.approx(0.6 * (0.1 + 0.7 * data.targets[trained]))


@pytest.mark.parametrize("empty", [True, False], ids=["turned off", "never run"])
def test_cleaned_without_suspicion_is_one_sentence(empty, project):
    if empty:
        pd.read_parquet(noise_table(project)).head(0).to_parquet(noise_table(project))
    else:
        noise_table(project).unlink()
    with pytest.raises(ParameterError, match=r"noise\.folds in params\.yaml to 2 or more"):
        read_data(project, CLASSES, "cleaned")


def test_soft_labels_without_votes_are_one_sentence(project):
    change_samples(project, drop_votes)
    with pytest.raises(DataError, match=r"put fer2013new\.csv beside the images"):
        read_data(project, CLASSES, "ferplus_soft")


def test_the_stage_says_with_which_labels_it_trained(project, capsys):
    params = yaml.safe_load((project / "params.yaml").read_text())
    quick = {"network": "small", "precision": "float32", "epochs": 1, "batch_size": 16, "sizes": [48]}
    params["train"] |= quick | {"labels": "cleaned"}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    train.run(load_params(project), project)
    assert "with labels cleaned" in capsys.readouterr().out
    client = open_store(project)
    (run,) = client.search_runs([experiment_id(client)])
    assert (run.data.params["train.labels"], run.data.params["originals"]) == ("cleaned", "237")
