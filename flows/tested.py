"""The model's own test images: which of a set they are, wherever their hashes can be known, and the look at them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.errors import DataError
from ferrule.foreign import ForeignSet
from ferrule.portable.model import PRETRAINED, PortableModel
from ferrule.pretrained import TESTED, load_pretrained
from ferrule.quality import hash_pixels
from ferrule.registry.versions import VersionInfo
from ferrule.samples import load_samples
from ferrule.seen import hash_cosines
from ferrule.store import has_store, open_store
from ferrule.tracking import EVALUATION_FOLDER, TEST_TAG, Looks, count_look, digest_test_set, model_runs, read_table

_PREDICTIONS = "predictions.parquet"
_HASH, _NEAR_HASH = "pixel_hash", "near_hash"


@dataclass(frozen=True)
class Tested:
    """A model's test images: what to know them by, as `seen.find_seen` takes it, and the MD5 looks are counted by.

    The table is None where the images cannot be told.
    """

    table: pd.DataFrame | None
    test_md5: str | None


def find_tested(root: Path, model: PortableModel, info: VersionInfo | None, foreign: ForeignSet) -> Tested:
    """Return what can be known of the test images of a model that is asked about the set `foreign`.

    Their hashes are in what evaluate wrote, with the run or beside the folder. Where only an MD5 of all of them is
    known, as of the model that ships, they are found if they are the test images of this project, or if the set or one
    of its usages is just these. Near copies are told where the images themselves are in this project.
    """
    shipped = load_pretrained() if model.folder == PRETRAINED else None
    tags = info.tags if info else {}
    test_md5 = shipped.card.test_md5 if shipped else tags.get(TEST_TAG)
    found = shipped.read_tested() if shipped else None
    if found is None:
        found = next(_list_own(root, model, info), None)
    if found is None and test_md5:
        found = next((table for table in _list_others(root, foreign) if digest_test_set(table) == test_md5), None)
    if found is None:
        return Tested(None, test_md5)
    if "split" not in found:
        return Tested(found, test_md5)
    return Tested(_add_near(root, found[found["split"] == "test"]), test_md5 or digest_test_set(found))


def count_own_look(root: Path, model: PortableModel, info: VersionInfo | None, tested: Tested) -> Looks | None:
    """Count a look of the model at its test images, where there is a store to count it in; return the looks so far."""
    if tested.test_md5 is None or not has_store(root):
        return None
    return count_look(root, info.model_md5 if info else model.facts.model_md5, tested.test_md5)


def list_hashes(images: np.ndarray) -> pd.DataFrame:
    """Return the table by which `images`, uint8 (n, 48, 48), are known again: that of `seen.list_seen`, for any."""
    table = pd.DataFrame({_HASH: pd.array(hash_pixels(images), dtype="str"), _NEAR_HASH: hash_cosines(images)})
    return table.drop_duplicates(_HASH).sort_values(_HASH, ignore_index=True)


def _list_own(root: Path, model: PortableModel, info: VersionInfo | None) -> Iterator[pd.DataFrame]:
    """Yield what evaluate said of the model: beside its folder (artifacts/export), or with a run of its bytes.

    A version of the model that shipped has a table of hashes instead.
    """
    beside = model.folder.parent / EVALUATION_FOLDER / _PREDICTIONS
    if info is None and beside.is_file():
        yield pd.read_parquet(beside)
    for run in [info.run_id] if info else _list_runs(root, model.facts.model_md5):
        tables = (read_table(root, run, f"{EVALUATION_FOLDER}/{name}") for name in (_PREDICTIONS, TESTED))
        yield from (table for table in tables if table is not None)


def _list_runs(root: Path, model_md5: str) -> list[str]:
    return [str(run.info.run_id) for run in model_runs(open_store(root), model_md5)] if has_store(root) else []


def _list_others(root: Path, foreign: ForeignSet) -> Iterator[pd.DataFrame]:
    """Yield what may be the test images: those of the project, all of the set, and those of each usage in it."""
    own = root / "artifacts" / EVALUATION_FOLDER / _PREDICTIONS
    if own.is_file():
        yield pd.read_parquet(own)
    rows = foreign.samples.table.assign(split="test", **{_HASH: hash_pixels(foreign.samples.images)})
    yield rows
    yield from (part for _, part in rows.groupby("usage"))


def _add_near(root: Path, test: pd.DataFrame) -> pd.DataFrame:
    """Return the hashes of `test`, with those for near copies where this project has all of its images."""
    try:
        images = load_samples(root / "artifacts" / "augment").images
    except DataError:
        return test[[_HASH]]
    table = list_hashes(images[np.isin(hash_pixels(images), test[_HASH])])
    return table if len(table) == test[_HASH].nunique() else test[[_HASH]]
