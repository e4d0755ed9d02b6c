"""Bundles: a version as a folder that runs without Keras (`ferrule.portable`), kept with its model's run.

A version names its bundle by an MD5, and so does the folder in the run: what is uploaded anew for the same model lies
beside what was there, and nobody downloads a mixture.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from ferrule.errors import RegistryError
from ferrule.portable.bundle import BUNDLE, read_bundle
from ferrule.portable.export import say_parity
from ferrule.registry.versions import VersionInfo, describe_version, find_version
from ferrule.store import has_store, open_store
from ferrule.tracking import MODEL_TAG, digest_file, find_model_run, search_runs

BUNDLE_TAG = "ferrule.bundle_md5"
EXPORT_TAG = "ferrule.export"  # "passed: …" or "failed: …", with the numbers
FOLDER = "bundle"  # of a run's files; one in it a bundle, named by its MD5
CACHE_VARIABLE = "FERRULE_CACHE"


def log_bundle(root: Path, model_md5: str, files: Iterable[Path]) -> dict[str, str]:
    """Keep `files` with the run of the model, unless they are there; return the tags of a version with this bundle.

    One of the files is its bundle.json, which says whether the others are what the network is.
    """
    paths = {path.name: path for path in files}
    client, run_id, bundle_md5 = open_store(root), find_model_run(root, model_md5), digest_bundle(paths.values())
    place = f"{FOLDER}/{bundle_md5}"
    logged = {Path(file.path).name for file in client.list_artifacts(run_id, place)}
    for name in sorted(paths.keys() - logged):
        client.log_artifact(run_id, str(paths[name]), place)
    return {BUNDLE_TAG: bundle_md5, EXPORT_TAG: _judge_export(paths[BUNDLE].parent)}


def fetch_bundle(root: Path, name: str | None, which: str) -> tuple[Path, str, str]:
    """Return the folder of a version's bundle, by number or alias, and the version's name and number.

    It is downloaded once, into FERRULE_CACHE or ~/.cache/ferrule, and checked each time; one that was altered is
    fetched anew. Without `name` it is the one registered model that has such a version. Raises RegistryError where
    there is none, or several, or the version came without a bundle or lost it.
    """
    info = describe_version(root, name, which) if name else _find_only(root, which)
    if info is None:
        raise RegistryError(f"Expected a registered model with {which}; there is none; run `ferrule run` first.")
    bundle_md5 = info.tags.get(BUNDLE_TAG)
    if not bundle_md5:
        raise RegistryError(
            f"Expected a bundle with {info.name} version {info.version}, which predicts without Keras; it was "
            "registered by an older Ferrule; run `ferrule run`, which adds it."
        )
    place = cache_folder() / "bundles" / f"{info.model_md5}-{bundle_md5}"
    if not place.is_dir() or digest_bundle(place.iterdir()) != bundle_md5:
        shutil.rmtree(place, ignore_errors=True)
        _download(root, info, bundle_md5, place)
    return place, info.name, info.version


def current_version(root: Path, name: str | None, which: str) -> str | None:
    """Return the number of the version that `which` means now, None where there is none; asking makes no store.

    Raises RegistryError where it has no `name` and several models have such a version.
    """
    info = find_version(root, name, which) if name else _find_only(root, which)
    return info.version if info else None


def cache_folder() -> Path:
    """Return where downloads are kept; all of it may be deleted."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "ferrule").expanduser()


def digest_bundle(files: Iterable[Path]) -> str:
    """Return an MD5 of the files' names and contents."""
    lines = sorted(f"{path.name} {digest_file(path)}" for path in files)
    return hashlib.md5("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


def _judge_export(folder: Path) -> str:
    """Return the verdict on what was exported into `folder`, with its numbers."""
    parity = read_bundle(folder).parity
    verdict = "passed" if parity["float32"]["passed"] else "failed"  # int8 that fails is not in the bundle
    return f"{verdict}: {say_parity(parity)}"


def _find_only(root: Path, which: str) -> VersionInfo | None:
    """Return the version of the one registered model, among Ferrule's, that has it; raises where several have."""
    names = [model.name for model in open_store(root).search_registered_models()] if has_store(root) else []
    versions = (find_version(root, name, which) for name in names)
    found = [info for info in versions if info and MODEL_TAG in info.tags]
    if len(found) > 1:
        having = ", ".join(info.name for info in found)
        raise RegistryError(f"Expected one model with {which}; {having} have it; name one with --name.")
    return found[0] if found else None


def _download(root: Path, info: VersionInfo, bundle_md5: str, place: Path) -> None:
    """Bring a bundle to `place`, which appears whole or not at all."""
    client, folder = open_store(root), f"{FOLDER}/{bundle_md5}"
    runs = search_runs(client, f"tags.`{MODEL_TAG}` = '{info.model_md5}'", deleted_too=True)
    with _draft(place) as draft:
        for run in runs:
            if not client.list_artifacts(run.info.run_id, folder):
                continue
            copy = Path(client.download_artifacts(run.info.run_id, folder, str(draft)))
            if digest_bundle(copy.iterdir()) == bundle_md5:
                _put(copy, place)
                return
    raise RegistryError(
        f"Expected the bundle of {info.name} version {info.version} in MLflow's store; its files are lost or altered; "
        "run `ferrule run`, which logs them again."
    )


def _put(folder: Path, place: Path) -> None:
    """Give `folder` the name `place`, unless another process was quicker to bring the same."""
    try:
        folder.rename(place)
    except OSError:
        if not place.is_dir():
            raise


@contextmanager
def _draft(place: Path) -> Iterator[Path]:
    """Give an empty folder on the same disk as `place`; it is gone afterwards."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
