"""A model on other labelled data: read, asked, scored, written where one says so, and kept beside the version."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from ferrule.charts.evaluation import class_chart, confusion_chart, reliability_chart
from ferrule.charts.style import save_figure
from ferrule.documents import say_score
from ferrule.emotions import class_ids
from ferrule.errors import ParameterError
from ferrule.foreign import (
    ALL,
    NEW,
    OWN,
    describe_foreign,
    divide_foreign,
    predict_foreign,
    read_foreign,
    read_mapping,
    score_foreign,
)
from ferrule.layouts.archives import is_archive, unpack
from ferrule.metrics import calibration_table, confusion_matrix
from ferrule.models import open_model
from ferrule.portable.model import PRETRAINED, PortableModel
from ferrule.predictions import read_probabilities
from ferrule.pretrained import load_pretrained
from ferrule.registry.evaluations import log_look
from ferrule.registry.versions import VersionInfo, describe_version
from ferrule.tracking import EVALUATION_FOLDER, digest_test_set, read_table
from flows.tested import count_own_look, find_tested
from pipelines.params import Params, load_params

SEEN = "seen.parquet"


@dataclass(frozen=True)
class Evaluation:
    """What came of it: `report` as `foreign.score_foreign` has it, with looks, and a row an image.

    `looks` are those at this set, None where no version was asked; `own_test_looks` those at the model's own test
    images, None where the set has none of them, or no store counts.
    """

    report: dict[str, Any]
    predictions: pd.DataFrame
    classes: tuple[str, ...]
    bins: int

    def describe(self) -> str:
        """Return everything for a person, as Markdown."""
        return "\n\n".join([f"**{self.report['model']['title']}**", describe_foreign(self.report), *self._tell_looks()])

    def _tell_looks(self) -> Iterator[str]:
        looks, own = self.report["looks"], self.report["scores"].get(OWN)
        if looks:
            by_model, by_all = looks["by_model"], looks["by_all"]
            yield f"Logged in MLflow, `evaluations`: look {by_model} at this set by this model, {by_all} by all models."
        if own:
            counted = self.report["own_test_looks"]
            told = (
                f"it is counted as look {counted['by_model']} by this model, {counted['by_all']} by all models"
                if counted
                else "there is no registry here that could count it"
            )
            yield f"**{own['rows']:,} of the images are the model's own test images.** This was a look at them; {told}."

    def write(self, folder: Path) -> str:
        """Write the scores, a row an image, and the pictures into `folder`; return where, as a sentence."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(json.dumps(self.report, indent=2) + "\n")
        (folder / "evaluation.md").write_text(self.describe() + "\n")
        self.predictions.to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
        self._draw(folder)
        return f"Written to {folder}: evaluation.json and .md, predictions.csv, and three pictures."

    def _draw(self, folder: Path) -> None:
        """Draw the images that are new to the model, or all where that is not known."""
        block = NEW if NEW in self.report["scores"] else ALL
        rows = self.predictions[divide_foreign(self.predictions)[block]]
        labels, scores = np.array(class_ids(rows["label"], self.classes)), self.report["scores"][block]
        probabilities = read_probabilities(rows, self.classes)
        subtitle = f"{self.report['data']['name']}: {len(rows):,} images; accuracy {say_score(scores['accuracy'])}"
        matrix = confusion_matrix(labels, probabilities.argmax(axis=1), len(self.classes))
        save_figure(confusion_chart(matrix, self.classes, subtitle), folder / "confusion_matrix.png")
        table = calibration_table(labels, probabilities, bins=self.bins)
        save_figure(reliability_chart(table, subtitle), folder / "reliability.png")
        save_figure(class_chart(scores["classes"], subtitle), folder / "per_class.png")


def evaluate_elsewhere(root: Path, data: Path, which: str, mappings: Sequence[str]) -> Evaluation:
    """Score a model (see `models.open_model`) on the labelled images at `data`, a file, folder or archive.

    `mappings` are texts as `foreign.read_mapping` takes them. Nothing of the project changes but its registry: a
    registered version's look is logged, and one at a model's own test images counted. Raises DataError, ParameterError
    or RegistryError for what cannot be had.
    """
    params = load_params(root)
    model = open_model(which, name=params.register.model_name, root=root)
    info = describe_version(root, params.register.model_name, model.version) if model.version else None
    mapping = read_mapping(mappings, model.classes)
    with _opened(data) as place:
        foreign = read_foreign(place, model.classes, mapping)
    seen = _find_seen(root, model, info)
    tested = find_tested(root, model, info, foreign)
    predictions = predict_foreign(foreign, model, seen, tested.table)
    report = score_foreign(foreign, predictions, model, seen, tested.table, **_read_settings(params))
    looks = count_own_look(root, model, info, tested) if OWN in report["scores"] else None
    report |= {"mapping": mapping, "own_test_looks": looks and asdict(looks)}
    report |= {"looks": _log(root, info, report, predictions) if info else None}
    return Evaluation(report, predictions, model.classes, params.evaluate.calibration_bins)


def check_folder(folder: Path, data: Path) -> None:
    """Raise ParameterError where files would be written among the data."""
    if folder.resolve().is_relative_to(data.resolve()) or folder.is_file():
        raise ParameterError(f"Expected a folder outside the data for --out; got {folder}; name another.")


@contextmanager
def _opened(data: Path) -> Iterator[Path]:
    """Give `data`, or the folder of its files where it is an archive."""
    if not (data.is_file() and is_archive(data)):
        yield data
        return
    with TemporaryDirectory() as place:
        folder = Path(place) / data.name
        folder.mkdir()
        unpack(data, folder)
        yield folder


def _find_seen(root: Path, model: PortableModel, info: VersionInfo | None) -> pd.DataFrame | None:
    """Return which images the model has seen: from its run, or from beside its folder; None where that is lost."""
    if info:
        return read_table(root, info.run_id, f"{EVALUATION_FOLDER}/{SEEN}")
    if model.folder == PRETRAINED:
        return load_pretrained().read_seen()
    beside = model.folder.parent / "evaluate" / SEEN  # of artifacts/export
    return pd.read_parquet(beside) if beside.is_file() else None


def _read_settings(params: Params) -> dict[str, int]:
    return {"bootstrap": params.evaluate.bootstrap, "bins": params.evaluate.calibration_bins, "seed": params.seed}


def _log(root: Path, info: VersionInfo, report: dict[str, Any], predictions: pd.DataFrame) -> dict[str, int]:
    set_md5 = digest_test_set(predictions.assign(split="test"))
    return asdict(log_look(root, info, report, set_md5))
