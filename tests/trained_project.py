"""A project as it stands after the train stage, small, with a real network that reads the brightness."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.duplicates import summarise_copies
from ferrule.emotions import FERPLUS_VOTES
from ferrule.layouts.damage import tabulate_rejects
from ferrule.quality import measure_quality
from ferrule.samples import Samples, save_samples
from ferrule.splits import summarize_splits
from pipelines.params import load_params

CLASSES = ("angry", "happy", "neutral")
_LEVELS = np.array([60.0, 120.0, 180.0])  # mean grey level of each class
AFTER_TRAIN = ("evaluate", "export", "reference", "card", "register")
_PLAN = {"train": 30, "val": 40, "test": 60, "dropped": 3, "unlabelled": 2}  # rows


def write_trained_project(root: Path, *, votes: bool = True, network: bool = True, val: int = _PLAN["val"]) -> None:
    """Write params.yaml, data.dvc, dvc.lock and the artifacts that the stages AFTER_TRAIN read, for three classes."""
    repository = Path(__file__).parents[1]
    text = (repository / "params.yaml").read_text()
    everything = "[angry, disgust, fear, happy, sad, surprise, neutral]"
    text = text.replace(everything, "[angry, happy, neutral]").replace("2000", "200")
    (root / "params.yaml").write_text(text.replace("int8: true", "int8: false"))  # there is no convolution to quantise
    (root / "data.dvc").write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  path: data\n")
    (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  ingest:\n    cmd: python -m pipelines ingest\n")
    samples, split = _draw(votes, _PLAN | {"val": val})
    artifacts = root / "artifacts"
    save_samples(samples, artifacts / "augment")
    for stage in ("split", "train", "validate"):
        (artifacts / stage).mkdir(parents=True)
    split.to_parquet(artifacts / "split" / "split.parquet", index=False)
    validation = {"success": True, "critical_failed": 0, "warnings": 0, "evaluated": 25, "expectations": []}
    (artifacts / "validate" / "result.json").write_text(json.dumps(validation))
    _write_counts(artifacts, samples, split)
    if network:
        write_network(artifacts / "train" / "model.keras")
        write_history(artifacts / "train" / "history.csv")


def run_stages(root: Path, *stages: str) -> None:
    """Run these stages, or all AFTER_TRAIN, as `python -m pipelines` does."""
    for stage in stages or AFTER_TRAIN:
        importlib.import_module(f"pipelines.{stage}").run(load_params(root), root)


def copy_project(root: Path, place: Path) -> Path:
    """Copy a project with its store; MLflow forgets where it found the files of runs, or it would go to the first."""
    from mlflow.tracking._tracking_service import utils

    utils._artifact_repos_cache.clear()
    return shutil.copytree(root, place)


def write_network(path: Path, *, skill: float = 1.0) -> None:
    """Write a network that compares the mean grey level with those of the classes; `skill` 0 cannot tell them apart."""
    from ferrule.backends import keras
    from ferrule.network import save_network

    images = keras.Input((48, 48, 1), name="images")  # names, so that the file has the same bytes each time
    features = keras.layers.GlobalAveragePooling2D(name="brightness")(images)
    outputs = keras.layers.Dense(len(CLASSES), activation="softmax", name="probabilities")(features)
    model = keras.Model(images, outputs, name="reader")
    model.layers[-1].set_weights([skill * _LEVELS[np.newaxis] / 900, -skill * _LEVELS**2 / 1800])
    save_network(model, path)


def write_history(path: Path) -> None:
    """Write three epochs as the train stage does."""
    columns = {"epoch": [1, 2, 3], "size": [32, 48, 48], "loss": [1.2, 1.0, 0.9], "accuracy": [0.4, 0.5, 0.6]}
    columns |= {"val_loss": [1.1, 1.0, 1.0], "val_accuracy": [0.4, 0.6, 0.5], "learning_rate": [0.02, 0.01, 0.001]}
    pd.DataFrame(columns).to_csv(path, index=False)


def _write_counts(artifacts: Path, samples: Samples, split: pd.DataFrame) -> None:
    """Write what ingest, audit and split count."""
    table = samples.table.assign(source_file="fer2013.csv", blank=False, split=split["split"])
    groups = table[["group_id"]].assign(exact_group=table["sample_id"])
    summary = {"strategy": "stratified", "twins": "drop"} | summarize_splits(table)
    save_samples(Samples(samples.images, table.drop(columns="split")), artifacts / "ingest")
    tabulate_rejects([]).to_parquet(artifacts / "ingest" / "rejects.parquet", index=False)
    (artifacts / "audit").mkdir()
    copies = summarise_copies(table, measure_quality(samples.images), groups)
    (artifacts / "audit" / "audit.json").write_text(json.dumps(copies))
    groups.assign(sample_id=table["sample_id"]).to_parquet(artifacts / "audit" / "groups.parquet", index=False)
    (artifacts / "split" / "split.json").write_text(json.dumps(summary))


def _draw(votes: bool, plan: dict[str, int]) -> tuple[Samples, pd.DataFrame]:
    rng = np.random.default_rng(0)
    split = np.repeat(list(plan), list(plan.values()))
    ids = rng.integers(0, 3, len(split))
    told = np.where(rng.random(len(split)) < 0.2, rng.integers(0, 3, len(split)), ids)  # some labels are wrong
    images = (_LEVELS[ids, None, None] + rng.normal(0, 40, (len(split), 48, 48))).clip(0, 255).astype(np.uint8)
    table = pd.DataFrame({"sample_id": np.arange(len(split)), "label": np.array(CLASSES)[told], "usage": "Training"})
    table.loc[split == "unlabelled", "label"] = None
    table["parent_id"] = table["group_id"] = table["sample_id"]
    table.loc[split == "dropped", "group_id"] = np.flatnonzero(split == "test")[:3]  # copies of three test images
    if votes:
        names = {"angry": "anger", "happy": "happiness", "neutral": "neutral"}
        for name in FERPLUS_VOTES:
            table[f"votes_{name}"] = np.uint8(10) * np.array([names[CLASSES[i]] == name for i in ids])
    splits = table[["sample_id", "parent_id", "group_id", "label", "usage"]].assign(split=split)
    return Samples(images, table), splits
