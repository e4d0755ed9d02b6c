"""What the store knows of a version that stands before the gate, and what the version says when it is asked."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ferrule.digests import digest_json
from ferrule.promotion.candidates import Candidate, Speed, find_obstacle, select_new_images
from ferrule.promotion.gate import Gate
from ferrule.registry.bundles import EXPORT_TAG
from ferrule.registry.versions import DATA_TAG, LOCK_TAG, VALIDATED_TAG, VersionInfo, load_version
from ferrule.samples import IMAGE_SIZE
from ferrule.store import open_store
from ferrule.tracking import (
    EVALUATION_FOLDER,
    MODEL_TAG,
    count_look,
    digest_test_set,
    log_table,
    model_runs,
    read_table,
)

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

_LOG = logging.getLogger(__name__)

LINEAGE_TAGS = (MODEL_TAG, DATA_TAG, LOCK_TAG, VALIDATED_TAG)  # the commit is known in a git checkout only
RESCORE_FOLDER = "rescore"  # of a run's files: predictions on the test images of other models, a folder a test MD5

_TOLD = ("validated", "missing", "accuracy", "recalls", "export", "withdrawn")  # of a challenger, by itself
_SINGLES, _BATCHES, _BATCH = 15, 3, 256  # images asked one at a time; batches, and the images of one


def read_candidate(root: Path, info: VersionInfo) -> Candidate:
    """Return what the gate before the champion alias wants to know of a version, from what evaluate logged."""
    seen = read_table(root, info.run_id, f"{EVALUATION_FOLDER}/seen.parquet")
    return Candidate(
        version=info.version,
        validated=info.tags.get(VALIDATED_TAG) == "true",
        missing=tuple(tag for tag in LINEAGE_TAGS if not info.tags.get(tag)),
        accuracy=info.metrics.get("test_accuracy", 0.0),
        recalls={name: info.metrics.get(f"test_recall_{name}", 0.0) for name in info.classes},
        predictions=read_table(root, info.run_id, f"{EVALUATION_FOLDER}/predictions.parquet"),
        seen=None if seen is None else seen["pixel_hash"],
        export=info.tags.get(EXPORT_TAG),
    )


def digest_question(
    pair: tuple[str, str | None],
    challenger: Candidate,
    champion: Candidate | None,
    gate: Gate,
    settings: dict[str, int],
) -> str:
    """Return a digest of all that a decision rests on but what is measured when asked.

    `pair` are the MD5s of the bytes of challenger and champion, `settings` those of `comparison.compare`.
    """
    told = [getattr(challenger, fact) for fact in _TOLD]
    facts: list[Any] = [pair, told, asdict(gate), settings]
    if champion is not None:
        obstacle = find_obstacle(challenger, champion)
        facts += [obstacle or digest_test_set(select_new_images(challenger, champion))]
    return digest_json(facts)


def rescore(root: Path, info: VersionInfo, test: pd.DataFrame, images: np.ndarray, *, test_md5: str) -> pd.DataFrame:
    """Return predictions of a version on test images of another model, asked for now: a counted look.

    `test` is that model's table on them, `images` are theirs, uint8 (n, 48, 48), row by row; `test_md5` names the set
    they are from. `read_rescored` gives the table again without a look.
    """
    count_look(root, info.model_md5, test_md5)
    model = load_version(root, info.name, info.version)
    asked_for = {"calibrated": False} if model.metadata.get_params_schema() else None  # as evaluate asks for them
    said = pd.DataFrame(model.predict(images, params=asked_for)).reset_index(drop=True)
    asked = test[["split", "label", "pixel_hash"]].reset_index(drop=True)
    table = asked.assign(predicted=said["label"].to_numpy()).join(said.filter(like="probability_"))
    log_table(root, info.model_md5, f"{RESCORE_FOLDER}/{test_md5}", "predictions.parquet", table)
    return table


def read_rescored(root: Path, info: VersionInfo, *, test_md5: str) -> pd.DataFrame | None:
    """Return what `rescore` kept of these test images with any run of the version's bytes, or None."""
    path = f"{RESCORE_FOLDER}/{test_md5}/predictions.parquet"
    runs = model_runs(open_store(root), info.model_md5)
    tables = (read_table(root, str(run.info.run_id), path) for run in runs)
    return next((table for table in tables if table is not None), None)


def measure(root: Path, known: dict[str, tuple[VersionInfo, Candidate]]) -> dict[str, Candidate]:
    """Return the candidates with their size and speed; all are asked in turn, so that other load meets them alike.

    The images are noise, which takes as long as faces. A version that cannot be loaded or asked has no speed.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it remarks on models that are asked in two sizes
    models = {name: _try_load(root, info) for name, (info, _) in known.items()}
    speeds = _time({name: model.predict for name, model in models.items() if model is not None})
    return {
        name: replace(candidate, size=_size(models[name]), speed=speeds.get(name))
        for name, (_, candidate) in known.items()
    }


def _time(askers: dict[str, Callable[[np.ndarray], Any]]) -> dict[str, Speed]:
    """Return the speed of each; the first round of either kind warms up and does not count."""
    noise = np.random.default_rng(0).integers(0, 256, (_BATCH, IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    singles, batches = _time_rounds(askers, noise[:1], _SINGLES), _time_rounds(askers, noise, _BATCHES)
    return {name: Speed(median(singles[name]), median(batches[name]) / _BATCH) for name in askers}


def _time_rounds(
    askers: dict[str, Callable[[np.ndarray], Any]], images: np.ndarray, rounds: int
) -> dict[str, list[float]]:
    """Return the milliseconds of each call."""
    times: dict[str, list[float]] = {name: [] for name in askers}
    for _ in range(rounds + 1):
        for name, ask in askers.items():
            start = time.perf_counter()
            ask(images)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: taken[1:] for name, taken in times.items()}


def _try_load(root: Path, info: VersionInfo) -> "PyFuncModel | None":
    """Return the model, or None where its files are lost or cannot be used here, which is said on the log."""
    try:
        return load_version(root, info.name, info.version)
    except Exception:  # whatever a model's own code raises
        _LOG.warning("Version %s of %s cannot be loaded.", info.version, info.name, exc_info=True)
        return None


def _size(model: "PyFuncModel | None") -> int | None:
    """Return the bytes of the model's files, as MLflow has counted them."""
    return None if model is None else model.metadata.model_size_bytes
