"""The model that ships with the package: made of the last run's, and registered where nothing was trained."""

import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrule import __version__
from ferrule.confidence import describe_confidence
from ferrule.errors import DataError, RegistryError, WorkflowError
from ferrule.modelcard.card import CardFacts, write_card_files
from ferrule.portable.bundle import gather_facts, unpack_model, write_bundle
from ferrule.portable.export import say_parity, write_models
from ferrule.portable.session import Session
from ferrule.predictions import AVERAGED, score_predictions, select_held_out, tabulate_predictions
from ferrule.pretrained import (
    CARD,
    FILES,
    FOLDER,
    SEEN,
    TESTED,
    WEIGHTS,
    Card,
    Pretrained,
    expect_room,
    load_pretrained,
    rebuild,
    write_card,
    write_hashes,
)
from ferrule.registry.bundles import log_bundle
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
from ferrule.views import ALL, PLAIN, look
from flows.status import read_stage_states
from flows.tested import list_hashes
from pipelines.card import read_facts
from pipelines.export import draw_originals, read_gate, read_test
from pipelines.lineage import read_lineage
from pipelines.params import Params, load_params

if TYPE_CHECKING:
    import onnx

PLACE = Path("ferrule", "pretrained")
PRETRAINED_TAG = "ferrule.pretrained"

_RETRAIN = "train again, so that no weight is far larger than the others of its channel (train.weight_decay)"


def export_pretrained(root: Path, *, allow_dirty: bool = False) -> Pretrained:
    """Make the model of the last run the one that ships: write ferrule/pretrained/, whole or not at all.

    Its weights are stored in 16 bits, and everything that is said of it is of these: they predict the val and test
    images again, a counted look. Raises WorkflowError where the last run is not one to ship, or rounding changes it.
    """
    params, artifacts, target = load_params(root), root / "artifacts", root / PLACE
    lineage = _read_origin(root, allow_dirty)
    graph, model_md5 = _translate(artifacts / "train" / "model.keras", params)
    with _draft(target) as draft:
        parity = _write_models(draft, graph, params, artifacts)
        predictions, held_out = _predict(draft, artifacts, params.ingest.classes)
        _expect_agreement(predictions, pd.read_parquet(artifacts / "evaluate" / "predictions.parquet"), params)
        metrics, confidence = _score(predictions, held_out, params)
        made: dict[str, Any] = {"metrics": metrics, "calibration": confidence, "parity": parity, "model_md5": model_md5}
        _write_facts(draft, replace(read_facts(params, root), **made))
        write_hashes(draft / SEEN, pd.read_parquet(artifacts / "evaluate" / SEEN))
        write_hashes(draft / TESTED, _list_tested(artifacts, held_out))
        expect_room(draft)
        test_md5 = digest_test_set(predictions)
        looks = asdict(count_look(root, model_md5, test_md5))
        described = _describe(params) | _say_scores(metrics, confidence)
        write_card(draft, Card(**described, test_md5=test_md5, looks=looks, lineage=lineage))
        _replace_files(draft, target)
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
        hashes = [file for file in pretrained.files if file in (SEEN, TESTED)]
        for file in hashes:
            shutil.copy(folder / file, evaluation)
        log_evaluation(root, model_md5, card.test_md5, card.scores, evaluation)
        _complete_run(root, model_md5, card)
        scores = {f"test_{name}": str(card.scores["test"][name]["value"]) for name in TAGGED_SCORES}
        bundle = log_bundle(root, model_md5, [folder / name for name in pretrained.files if name not in hashes])
        tags = card.lineage | scores | bundle | {TEST_TAG: card.test_md5, PRETRAINED_TAG: "true"}
        name = params.register.model_name
        return register_version(
            root,
            name,
            network,
            model_md5=model_md5,
            classes=card.classes,
            temperature=card.temperature,
            tags=tags,
            action="import",
        )


def _read_origin(root: Path, allow_dirty: bool) -> dict[str, str]:
    """Return the lineage of the last run; raises WorkflowError where it cannot tell where the model comes from."""
    states = read_stage_states(root)
    for stage in ("evaluate", "card"):
        if states[stage] != "current":
            raise WorkflowError(
                f"Expected the last run up to date; {stage} is {states[stage]}; run `ferrule run` first."
            )
    lineage = read_lineage(root)
    if lineage.get(VALIDATED_TAG) != "true":
        raise WorkflowError("Expected data that passed validation; it did not; see artifacts/validate/result.json.")
    if lineage.get("ferrule.git_dirty") != "false" and not allow_dirty:
        raise WorkflowError(
            "Expected a git checkout without changes, so that the commit tells what made the model; there are some, or "
            "no git; commit them, or add --allow-dirty, which the card will show."
        )
    return {name: value for name, value in lineage.items() if name != FLOW_TAG}


def _translate(path: Path, params: Params) -> tuple["onnx.ModelProto", str]:
    """Return the graph of the trained network, and the MD5 that it has as Keras' file with weights in 16 bits."""
    _use_backend(params)
    from ferrule.network import load_network, save_network
    from ferrule.portable.translation import shorten, translate

    trained, train = load_network(path), params.train
    graph = translate(trained)
    try:
        model = rebuild(shorten(graph), train.network, len(params.ingest.classes), asdict(train), params.seed)
    except DataError as error:
        raise WorkflowError(
            f"Expected one {train.network} network in {path}; it holds {trained.name}; train by a recipe that ends "
            "with a single network, since an ensemble does not ship."
        ) from error
    with TemporaryDirectory() as place:
        save_network(model, Path(place) / "model.keras")
        return graph, digest_file(Path(place) / "model.keras")


def _write_models(folder: Path, graph: "onnx.ModelProto", params: Params, artifacts: Path) -> dict[str, Any]:
    """Write the ONNX files and return their parity; raises WorkflowError where float32 is not what was trained."""
    samples = load_samples(artifacts / "augment")
    test = read_test(params.ingest.classes, samples, artifacts)
    originals = draw_originals(params, samples, artifacts) if params.export.int8 else None
    parity = write_models(folder, graph, test, read_gate(params), calibration=originals, small=True)
    if not parity["float32"]["passed"]:
        raise WorkflowError(
            f"Expected weights in 16 bits to be as good as those trained; {say_parity(parity)}; {_RETRAIN}."
        )
    return parity


def _predict(folder: Path, artifacts: Path, classes: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what the model in `folder` says of the val and test images, as evaluate has it, and their table."""
    samples = load_samples(artifacts / "augment")
    held_out = select_held_out(samples.table, pd.read_parquet(artifacts / "split" / "split.parquet"))
    images = samples.images[held_out["row"].to_numpy()]
    session = Session(unpack_model(folder / WEIGHTS))
    plain, averaged = (np.mean([session.ask(look(images, view)) for view in views], axis=0) for views in (PLAIN, ALL))
    return tabulate_predictions(held_out, images, classes, plain=plain, averaged=averaged), held_out


def _expect_agreement(rounded: pd.DataFrame, trained: pd.DataFrame, params: Params) -> None:
    """Raise WorkflowError where the two say another class of too many images, plain or with test-time averaging."""
    share = min((rounded[column] == trained[column]).mean() for column in ("predicted", f"predicted{AVERAGED}"))
    if share < params.export.min_agreement:
        raise WorkflowError(
            f"Expected weights in 16 bits to say of {params.export.min_agreement:.1%} of the held-out images what "
            f"evaluate says; they do of {share:.2%}; {_RETRAIN}."
        )


def _score(predictions: pd.DataFrame, held_out: pd.DataFrame, params: Params) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what metrics.json and calibration.json hold, of these predictions."""
    classes = params.ingest.classes
    settings = {"bootstrap": params.evaluate.bootstrap, "bins": params.evaluate.calibration_bins, "seed": params.seed}
    metrics = score_predictions(predictions, held_out, classes, **settings)
    return metrics, describe_confidence(predictions, held_out, classes, metrics, **settings)


def _list_tested(artifacts: Path, held_out: pd.DataFrame) -> pd.DataFrame:
    rows = held_out.loc[held_out["split"] == "test", "row"].to_numpy()
    return list_hashes(load_samples(artifacts / "augment").images[rows])


def _write_facts(folder: Path, facts: CardFacts) -> None:
    """Write bundle.json and the model card."""
    origin: dict[str, Any] = {"parity": facts.parity, "model_md5": facts.model_md5, "data_md5": facts.data.md5}
    write_bundle(folder, gather_facts(facts.name, facts.classes, facts.metrics, facts.calibration, **origin))
    write_card_files(folder, facts)


def _say_scores(metrics: dict[str, Any], confidence: dict[str, Any]) -> dict[str, Any]:
    """Return the card's scores and temperatures, and what scores become at the temperatures."""
    blocks = confidence["scores"].items()
    return {
        "scores": metrics,
        "calibrated": {name: {score: told["after"] for score, told in block.items()} for name, block in blocks},
        **{key: confidence[key] for key in ("temperature", "temperature_tta")},
    }


def _replace_files(draft: Path, target: Path) -> None:
    """Move the files of `draft` to `target`, the card last: with what was there before, checksums would differ."""
    files = load_pretrained(draft).files
    for name in (*files, CARD):
        (draft / name).replace(target / name)
    for name in set(FILES) - set(files):
        (target / name).unlink(missing_ok=True)


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
