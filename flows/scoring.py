"""The scoring flow: what is new in the inbox is scored, once, one task an input."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger

from ferrule.calibration import apply_temperature, fit_temperature
from ferrule.embeddings import attach_embeddings
from ferrule.emotions import class_ids
from ferrule.errors import FerruleError, RegistryError
from ferrule.layouts.listing import list_visible
from ferrule.layouts.streaming import digest_input
from ferrule.portable.model import open_pretrained
from ferrule.predictions import read_probabilities
from ferrule.pretrained import load_pretrained
from ferrule.registry.versions import CHAMPION, VersionInfo, describe_version, load_network
from ferrule.scoring.abstention import Abstention, choose_threshold
from ferrule.scoring.score import WORK, Scorer, score_input
from ferrule.scoring.scored import FOLDER, INBOX, find_scored
from ferrule.tracking import EVALUATION_FOLDER, TEST_TAG, read_table
from flows.notifications import report_failure
from flows.outcomes import IncompleteError, InputRun, mark_copy, mark_failures, report_news, tabulate_input
from flows.pretrained import PRETRAINED_TAG
from flows.tasks import PATIENT
from pipelines.params import load_params
from pipelines.sections import Scoring

_LOCK_DIGITS = 2  # of the input's SHA-256: 256 files, however many inputs


@flow(name="scoring", on_failure=[report_news], on_crashed=[report_failure])
def score_inbox(
    root: Path | None = None,
    inbox: Path | None = None,
    source: Path | None = None,
    which: str = CHAMPION,
    again: bool = False,
) -> list[InputRun]:
    """Score each file and folder in `inbox` (scoring/inbox/), or `source` alone, and return what became of each.

    `which` is a version or alias. What any model has scored is not scored again; with `again` only what this one has.
    Raises IncompleteError at the end where an input could not be scored as a whole, and RegistryError at once where the
    model cannot be used.
    """
    root = (root or Path.cwd()).resolve()
    inputs = [source.resolve()] if source else list_inputs(root, inbox)
    if not inputs:
        get_run_logger().info(f"Nothing to score: there is nothing in {inbox or FOLDER + '/' + INBOX}.")
        return []
    name = load_params(root).register.model_name
    version = describe_version(root, name, which).version  # what the alias means now holds for the whole run
    rule = load_model(root, name, version)
    get_run_logger().info(rule)
    runs: list[InputRun] = []
    for path in inputs:
        runs.append(mark_copy(_run_task(path, root, name, version, again), runs))
    runs = mark_failures(root, inputs, runs)
    create_table_artifact(key="scoring", table=[tabulate_input(run) for run in runs], description=rule)
    if any(run.outcome == "failed" for run in runs):
        raise IncompleteError(runs)
    return runs


def list_inputs(root: Path, inbox: Path | None) -> list[Path]:
    """Return what lies in `inbox`, or in the project's own, which is made if need be: each file or folder is an input.

    Raises DataError where the inbox that was given is none.
    """
    own = root / FOLDER / INBOX
    own.mkdir(parents=True, exist_ok=True)
    return list_visible((inbox or own).resolve())


@task(task_run_name="load-model", **PATIENT)
def load_model(root: Path, name: str, version: str) -> str:
    """Have a version ready in this process, and say which it is and when it answers; raises what `open_scorer` does."""
    return describe_scorer(open_scorer(root, name, version))


@task(task_run_name="{path.name}", **PATIENT)
def score_one(path: Path, root: Path, name: str, version: str, again: bool) -> InputRun:
    """Score one input, unless it is known or another process has it under way."""
    start = time.monotonic()
    input_sha256 = digest_input(path)
    with _locked(root, input_sha256) as ours:
        if not ours:
            return InputRun(path.name, "busy", reason="another scoring has it under way")
        scorer, known = open_scorer(root, name, version), find_scored(root, input_sha256)
        same = [told for told in known if told.model_md5 == scorer.model_md5]
        if same or (known and not again):
            return InputRun(path.name, "known", told=(same or known)[0])
        chunk_images = load_params(root).scoring.chunk_images
        told = score_input(root, path, input_sha256, scorer, chunk_images=chunk_images)
    return InputRun(path.name, "scored", time.monotonic() - start, told)


@lru_cache(maxsize=1)
def open_scorer(root: Path, name: str, version: str) -> Scorer:
    """Return a version ready to score; raises RegistryError where it is not there or its network cannot be loaded."""
    params = load_params(root)
    os.environ.setdefault("KERAS_BACKEND", params.train.backend)
    info = describe_version(root, name, version)
    temperature, abstention = read_rule(root, info, params.scoring)
    try:
        network = attach_embeddings(load_network(root, info))
    except Exception as error:  # a damaged file fails in many ways, and a store out of reach in others
        told = str(error).strip().partition("\n")[0]
        raise RegistryError(
            f"Expected the network of {name} version {version}; it cannot be loaded ({told}); nothing was scored; let "
            "the champion be a version that works."
        ) from error
    return Scorer(name, version, info.model_md5, info.classes, network, temperature, abstention)


def read_rule(root: Path, info: VersionInfo, settings: Scoring) -> tuple[float, Abstention]:
    """Return a version's temperature and when it abstains, from its own predictions on validation images.

    The model that ships has no predictions, which would carry labels of its data; both are in its bundle, with a
    certainty of 95 %.
    """
    target = settings.abstain_accuracy
    predictions = read_table(root, info.run_id, f"{EVALUATION_FOLDER}/predictions.parquet")
    if predictions is None:
        _expect_shipped(info)
        shipped = open_pretrained()
        return shipped.facts.temperature, shipped.abstention(target)
    val = predictions[predictions["split"] == "val"]
    labels, probabilities = np.array(class_ids(val["label"], info.classes)), read_probabilities(val, info.classes)
    temperature = round(fit_temperature(labels, probabilities), 4)  # as the reference of drift has it
    calibrated = apply_temperature(probabilities, temperature)
    return temperature, choose_threshold(labels, calibrated, target, certainty=settings.abstain_certainty)


def describe_scorer(scorer: Scorer) -> str:
    """Say which model scores, and when it answers."""
    rule, model = scorer.abstention, f"{scorer.name} version {scorer.version}, temperature {scorer.temperature:.3f}"
    if rule.threshold is None:
        return (
            f"{model}: no threshold reaches {rule.target:.0%} on its validation images, so it abstains on every image."
        )
    answers = f"{model}: it answers where its confidence is at least {rule.threshold:.3f}"
    if rule.accuracy is None:
        return f"{answers} (the target itself, since no validation predictions came with it)."
    return (
        f"{answers}; of its validation images it answers {rule.coverage:.1%}, {rule.accuracy:.1%} of them rightly "
        f"(at least {rule.lower:.1%}; {rule.target:.0%} is asked for)."
    )


def _run_task(path: Path, root: Path, name: str, version: str, again: bool) -> InputRun:
    """Return what became of an input, also where its task failed; a fault of the model ends the flow."""
    state = score_one(path, root, name, version, again, return_state=True)
    result = state.result(raise_on_failure=False)
    if isinstance(result, InputRun):
        return result
    if isinstance(result, FerruleError | OSError) and not isinstance(result, RegistryError):
        return InputRun(path.name, "failed", reason=str(result))
    raise result


@contextmanager
def _locked(root: Path, input_sha256: str) -> Iterator[bool]:
    """Tell whether the input is this process' own inside the block.

    Inputs share 256 files, which stay; another input's may make one look busy, and it is scored the next time.
    """
    folder = root / FOLDER / WORK
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{input_sha256[:_LOCK_DIGITS]}.lock", blocking=False):
            yield True
    except Timeout:
        yield False


def _expect_shipped(info: VersionInfo) -> None:
    """Raise RegistryError where the version is not the model that ships."""
    card = load_pretrained().card if info.tags.get(PRETRAINED_TAG) == "true" else None
    if card is None or not (card.lineage | {TEST_TAG: card.test_md5}).items() <= info.tags.items():
        raise RegistryError(
            f"Expected predictions on validation images with {info.name} version {info.version}, to calibrate it by; "
            "its run has none; train again (`ferrule run`), or import the pretrained model again."
        )
