"""The stage train: from augment and split to model.keras, with its run in MLflow."""

import fcntl
import hashlib
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import yaml
from tiny_training import SETTINGS
from trained_project import AFTER_TRAIN, run_stages, write_trained_project

from ferrule.errors import DataError, WorkflowError
from ferrule.network import load_network
from ferrule.registry.versions import load_version
from ferrule.samples import load_samples
from ferrule.settings import TrainSettings
from ferrule.store import experiment_id, open_store
from ferrule.tracking import TrainingLog, find_model_run
from ferrule.training import HISTORY_COLUMNS
from pipelines import train
from pipelines.params import load_params
from pipelines.sections import Train

QUICK = {
    "network": "small",
    "precision": "float32",
    "epochs": 2,
    "batch_size": 8,
    "sizes": [48],
    "peak_rate": SETTINGS.peak_rate,
}


@pytest.fixture
def project(tmp_path):
    """Give a project after split, with settings that train in a second or two."""
    write_trained_project(tmp_path, network=False)
    (tmp_path / "artifacts" / "train").rmdir()
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["train"] |= QUICK
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path


def change_split(project, change) -> None:
    path = project / "artifacts" / "split" / "split.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_every_setting_stands_in_params():
    assert {field.name for field in fields(Train)} == {field.name for field in fields(TrainSettings)} - {"seed"}


def test_writes_model_and_history_and_tells_mlflow(project, capsys):
    train.run(load_params(project), project)
    folder = project / "artifacts" / "train"
    assert {path.name for path in folder.iterdir()} == {"model.keras", "history.csv"}
    assert load_network(folder / "model.keras").output_shape == (None, 3)
    history = pd.read_csv(folder / "history.csv")
    assert tuple(history.columns) == HISTORY_COLUMNS
    assert "of 40 validation images right" in capsys.readouterr().out

    client = open_store(project)
    md5 = hashlib.md5((folder / "model.keras").read_bytes()).hexdigest()
    run = client.get_run(find_model_run(project, md5))
    assert run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == "2"
    assert run.data.params["originals"] == "30"
    assert run.data.tags["ferrule.recipe"] == "demo"
    assert run.data.metrics["train_seconds"] > 0
    told = client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [round(metric.value, 6) for metric in told] == history["val_accuracy"].round(6).tolist()
    assert run.data.metrics["images_per_second"] > 0


def test_only_train_rows_are_trained_on_and_only_val_rows_selected_on(project):
    data = train.read_data(project, load_params(project).ingest.classes)
    split = pd.read_parquet(project / "artifacts" / "split" / "split.parquet")
    for name, rows in (("train", data.originals), ("val", data.val)):
        assert rows.tolist() == np.flatnonzero(split["split"] == name).tolist()
    assert data.labels.tolist() == [
        -1 if pd.isna(label) else ("angry", "happy", "neutral").index(label) for label in split["label"]
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda split: split.assign(split=split["split"].replace("val", "test")), "validation images"),
        (lambda split: split.assign(split=split["split"].replace("train", "dropped")), "training images"),
        (lambda split: split[::-1], "row by row"),
    ],
    ids=["no val", "no train", "other order"],
)
def test_what_cannot_be_trained_leaves_nothing_behind(project, change, words):
    change_split(project, change)
    with pytest.raises(DataError, match=words):
        train.run(load_params(project), project)
    assert not (project / "artifacts" / "train").exists()


def test_two_trainings_at_once_in_one_project_are_refused(project):
    folder = project / "artifacts" / ".train-checkpoints"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(WorkflowError, match="one is under way"):
            train.run(load_params(project), project)


def test_a_broken_checkpoint_is_none(project, capsys):
    network = project / "artifacts" / "train" / "model.keras"
    train.run(load_params(project), project)
    first = network.read_bytes()
    (checkpoint,) = (project / "artifacts" / ".train-checkpoints").glob("*.npz")
    checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    train.run(load_params(project), project)
    assert network.read_bytes() == first
    assert "going on" not in capsys.readouterr().out


def follow(project, **changes) -> None:
    """Make `changes` a recipe of the project and choose it."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params |= {"recipe": "ours", "recipes": {"ours": changes}}
    (project / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.mark.slow
def test_an_ensemble_and_then_its_student(project, capsys):
    """Two networks are trained once, for both; the files are as those of one network, the history names them."""
    follow(project, members=2)
    train.run(load_params(project), project)
    ensemble = load_network(project / "artifacts" / "train" / "model.keras")
    follow(project, members=2, distil=0.5)
    train.run(load_params(project), project)
    printed = capsys.readouterr().out
    assert "ensemble of 2" in printed
    assert printed.count("going on after epoch 2") == 2  # the two members, for the student
    student = load_network(project / "artifacts" / "train" / "model.keras")
    assert student.count_params() * 2 == ensemble.count_params()
    history = pd.read_csv(project / "artifacts" / "train" / "history.csv")
    assert history["network"].tolist() == ["member_1"] * 2 + ["member_2"] * 2 + ["student"] * 2


@pytest.mark.slow
def test_an_ensemble_is_evaluated_registered_and_served(project):
    follow(project, members=2, epochs=1)
    run_stages(project, "train", *AFTER_TRAIN)
    predictions = pd.read_parquet(project / "artifacts" / "evaluate" / "predictions.parquet")
    samples = load_samples(project / "artifacts" / "augment")
    rows = samples.table["sample_id"].searchsorted(predictions["sample_id"])
    served = load_version(project, "ferrule", "challenger").predict(samples.images[rows])
    assert served["label"].tolist() == predictions["predicted"].tolist()


def test_the_epochs_of_an_interrupted_training_are_logged_once(project, monkeypatch):
    """Also where the recipe has got another name meanwhile."""
    told = []

    def kill(log, epoch, metrics):
        told.append(epoch)
        if len(told) == 2:
            raise KeyboardInterrupt
        original(log, epoch, metrics)

    original = TrainingLog.__call__
    monkeypatch.setattr(TrainingLog, "__call__", kill)
    with pytest.raises(KeyboardInterrupt):
        train.run(load_params(project), project)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params |= {"recipe": "same", "recipes": {"same": {}}}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    train.run(load_params(project), project)
    assert told == [1, 2, 1, 2]
    client = open_store(project)
    (run,) = client.search_runs([experiment_id(client)])
    assert run.data.tags["ferrule.recipe"] == "same"
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == [1, 2]
