"""The model that ships with the package: made of the last run's, and registered where nothing was trained."""

import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from ferrule import __version__
from ferrule.calibration import calibrate_predictions
from ferrule.errors import RegistryError, WorkflowError
from ferrule.predictions import AVERAGED, score_predictions, select_held_out
from ferrule.pretrained import (
    CARD,
    FILES,
    FOLDER,
    SEEN,
    Card,
    Pretrained,
    load_pretrained,
    rebuild,
    write_card,
    write_files,
)
from ferrule.registry.versions import TAGGED_SCORES, VALIDATED_TAG, VersionInfo, register_version
from ferrule.samples import load_samples
from ferrule.store import open_store
from ferrule.tracking import (
    FLOW_TAG,
    RECIPE_TAG,
    TEST_TAG,
    count_look,
    digest_file,
    digest_test_set,
    find_model_run,
    log_evaluation,
)
from flows.status import read_stage_states
from pipelines.lineage import read_lineage
from pipelines.params import Params, load_params

PLACE = Path("ferrule", "pretrained")
PRETRAINED_TAG = "ferrule.pretrained"
CALIBRATED = ("log_loss", "brier", "ece")  # the scores that a temperature changes
MIN_AGREEMENT = 0.999  # of top classes, between the weights that were trained and those that ship


def export_pretrained(root: Path, *, allow_dirty: bool = False) -> Pretrained:
    """Make the model of the last run the one that ships: write ferrule/pretrained/, whole or not at all.

    Weights are rounded to float16, and everything that is said of the model is of these: they predict the val and test
    images again, a counted look. Raises WorkflowError where the last run is not one to ship, or rounding changes it.
    """
    params, artifacts, target = load_params(root), root / "artifacts", root / PLACE
    lineage = _read_origin(root, allow_dirty)
    weights, model = _round(artifacts / "train" / "model.keras", params)
    predictions, held_out = _predict(model, artifacts, params.ingest.classes)
    _expect_agreement(predictions, pd.read_parquet(artifacts / "evaluate" / "predictions.parquet"))
    facts, test_md5 = _score(predictions, held_out, params), digest_test_set(predictions)
    with _draft(target) as draft:
        write_files(draft, weights, pd.read_parquet(artifacts / "evaluate" / SEEN))
        looks = asdict(count_look(root, _digest_network(model), test_md5))
        write_card(draft, Card(**_describe(params), **facts, test_md5=test_md5, looks=looks, lineage=lineage))
        load_pretrained(draft)
        for name in (*FILES, CARD):  # the card last: with what was there before, checksums would differ
            (draft / name).replace(target / name)
    return load_pretrained(target)


def import_pretrained(root: Path, folder: Path = FOLDER) -> VersionInfo:
    """Register the model that ships as a version of the project's, with its origin in tags; it is the challenger then.

    Scores are those that ship, and no look is counted. The same model is registered once.
    Raises RegistryError where it knows other classes than the project.
    """
    params, pretrained = load_params(root), load_pretrained(folder)
    if pretrained.classes != params.ingest.classes:
        raise RegistryError(
            f"Expected a model of the classes in ingest.classes, {', '.join(params.ingest.classes)}; the pretrained "
            f"one knows {', '.join(pretrained.classes)}; set ingest.classes and register.model_name for it."
        )
    _use_backend(params)
    from ferrule.network import save_network

    card = pretrained.card
    with TemporaryDirectory() as place:
        network, evaluation = Path(place) / "model.keras", Path(place) / "evaluate"
        save_network(pretrained.build(), network)
        model_md5 = digest_file(network)
        evaluation.mkdir()
        (evaluation / "metrics.json").write_text(json.dumps(card.scores, indent=2) + "\n")
        shutil.copy(folder / SEEN, evaluation)
        log_evaluation(root, model_md5, card.test_md5, card.scores, evaluation)
        _complete_run(root, model_md5, card)
        scores = {f"test_{name}": str(card.scores["test"][name]["value"]) for name in TAGGED_SCORES}
        tags = card.lineage | scores | {TEST_TAG: card.test_md5, PRETRAINED_TAG: "true"}
        name = params.register.model_name
        return register_version(
            root, name, network, model_md5=model_md5, classes=card.classes, tags=tags, action="import"
        )


def _read_origin(root: Path, allow_dirty: bool) -> dict[str, str]:
    """Return the lineage of the last run; raises WorkflowError where it cannot tell where the model comes from."""
    state = read_stage_states(root)["evaluate"]
    if state != "current":
        raise WorkflowError(f"Expected the last run up to date; evaluate is {state}; run `ferrule run` first.")
    lineage = read_lineage(root)
    if lineage.get(VALIDATED_TAG) != "true":
        raise WorkflowError("Expected data that passed validation; it did not; see artifacts/validate/result.json.")
    if lineage.get("ferrule.git_dirty") != "false" and not allow_dirty:
        raise WorkflowError(
            "Expected a git checkout without changes, so that the commit tells what made the model; there are some, or "
            "no git; commit them, or add --allow-dirty, which the card will show."
        )
    return {name: value for name, value in lineage.items() if name != FLOW_TAG}


def _round(path: Path, params: Params) -> tuple[list[np.ndarray], Any]:
    """Return the network's weights as float16, and the network rebuilt from these."""
    _use_backend(params)
    from ferrule.network import load_network

    trained, train = load_network(path), params.train
    with np.errstate(over="ignore"):  # what is too large for float16 shows in the agreement
        weights = [array.astype(np.float16) for array in trained.get_weights()]
    try:
        return weights, rebuild(train.network, len(params.ingest.classes), weights, asdict(train), params.seed)
    except ValueError as error:
        raise WorkflowError(
            f"Expected one {train.network} network in {path}; it holds {trained.name}; train by a recipe that ends "
            "with a single network, since an ensemble does not ship."
        ) from error


def _predict(model: Any, artifacts: Path, classes: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what `model` says of the val and test images, as evaluate tabulates it, and the table of these images."""
    from pipelines.evaluate import predict_held_out

    samples = load_samples(artifacts / "augment")
    held_out = select_held_out(samples.table, pd.read_parquet(artifacts / "split" / "split.parquet"))
    images = samples.images[held_out["row"].to_numpy()]
    return predict_held_out(model, images, held_out, classes), held_out


def _expect_agreement(rounded: pd.DataFrame, trained: pd.DataFrame) -> None:
    """Raise WorkflowError where the two say another class of too many images, plain or with test-time averaging."""
    share = min((rounded[column] == trained[column]).mean() for column in ("predicted", f"predicted{AVERAGED}"))
    if share < MIN_AGREEMENT:
        raise WorkflowError(
            f"Expected weights in float16 to say of {MIN_AGREEMENT:.1%} of the held-out images what evaluate says; "
            f"they do of {share:.2%}; train again, so that weights stay small (train.weight_decay)."
        )


def _score(predictions: pd.DataFrame, held_out: pd.DataFrame, params: Params) -> dict[str, Any]:
    """Return the card's scores and temperatures, and what scores become at the temperatures."""
    classes = params.ingest.classes
    settings = {"bootstrap": params.evaluate.bootstrap, "bins": params.evaluate.calibration_bins, "seed": params.seed}
    calibrated, temperatures = calibrate_predictions(predictions, classes)
    blocks = score_predictions(calibrated, held_out, classes, **settings)
    return {
        "scores": score_predictions(predictions, held_out, classes, **settings),
        "calibrated": {name: {score: block[score] for score in CALIBRATED} for name, block in blocks.items()},
        **{f"temperature{ending}": temperature for ending, temperature in temperatures.items()},
    }


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """Give an empty folder inside `target`, where files can be moved from in one step; it is gone afterwards."""
    draft = target / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _digest_network(model: Any) -> str:
    """Return the MD5 that the network has once it is registered."""
    from ferrule.network import save_network

    with TemporaryDirectory() as place:
        save_network(model, Path(place) / "model.keras")
        return digest_file(Path(place) / "model.keras")


def _describe(params: Params) -> dict[str, Any]:
    """Return the card's fields that say what was trained, and with what."""
    packages = ("keras", params.train.backend, "numpy")
    return {
        "network": params.train.network,
        "classes": params.ingest.classes,
        "recipe": params.recipe,
        "seed": params.seed,
        "train": asdict(params.train),
        "twins": params.split.twins,
        "versions": {
            "ferrule": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "processor": platform.machine(),
    }


def _complete_run(root: Path, model_md5: str, card: Card) -> None:
    """Add to the model's run what a training would have logged, and the looks that the model has had elsewhere."""
    client, run_id = open_store(root), find_model_run(root, model_md5)
    known = client.get_run(run_id).data
    client.set_tag(run_id, RECIPE_TAG, card.recipe)
    params = {"seed": card.seed} | {f"train.{name}": value for name, value in card.train.items()}
    for name in params.keys() - known.params.keys():
        client.log_param(run_id, name, params[name])
    key = f"looks/{card.test_md5[:8]}"
    if known.metrics.get(key, 0) < card.looks["by_model"]:
        client.log_metric(run_id, key, card.looks["by_model"])


def _use_backend(params: Params) -> None:
    """Let Keras run on train.backend, as the stages do; raises ParameterError where it runs on another."""
    os.environ.setdefault("KERAS_BACKEND", params.train.backend)
    from ferrule.backends import expect_backend

    expect_backend(params.train.backend)
