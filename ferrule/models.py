"""Which model predicts: the champion of a registry where there is one, else the one that ships, or one by its name."""

import os
from importlib.util import find_spec
from pathlib import Path

from ferrule.errors import DataError, RegistryError
from ferrule.portable.bundle import BUNDLE
from ferrule.portable.model import PortableModel, open_pretrained
from ferrule.store import has_store

AUTO, PRETRAINED, CHAMPION = "auto", "pretrained", "champion"


def open_model(
    which: str = AUTO, *, name: str | None = None, root: Path | None = None, precision: str = "float32"
) -> PortableModel:
    """Return a model, ready to predict; its `title` says which it is.

    `which` is "auto" (the registry's champion where there is a registry with one, else the model that ships),
    "pretrained", an alias or number of a registered version, or the folder of an exported model. The registry is that
    of the project in `root` (the current folder), or the one that MLFLOW_TRACKING_URI names; `name` is needed where
    several models are registered. Raises RegistryError where it does not hold what is asked for, DataError for a folder
    without a model, or with a damaged one.
    """
    root = (root or Path.cwd()).resolve()
    if which == PRETRAINED or (which == AUTO and not _has_champion(root, name)):
        return open_pretrained(precision)
    if is_folder(which):
        return open_folder(Path(which), precision)
    try:
        return _open_registered(root, name, CHAMPION if which == AUTO else which, precision)
    except RegistryError:
        if which not in (AUTO, CHAMPION) and Path(which).is_dir():  # this is meant, and not a version of that name
            return open_folder(Path(which), precision)
        raise


def open_folder(folder: Path, precision: str = "float32") -> PortableModel:
    """Return the exported model in `folder`; raises DataError where there is none, or it is damaged."""
    if not (folder / BUNDLE).is_file():
        found = "this folder holds no exported model" if folder.is_dir() else "there is no such folder"
        raise DataError(f"Expected {BUNDLE} in {folder}; {found}; name one that does, as artifacts/export.")
    return PortableModel.open(folder, precision=precision)


def is_folder(which: str) -> bool:
    """Tell whether `which` names the folder of an exported model."""
    return (Path(which) / BUNDLE).is_file() or os.sep in which


def _has_champion(root: Path, name: str | None) -> bool:
    """Tell whether there is a champion to ask for; a registry that was named and does not answer is an error."""
    if not _has_mlflow() or not has_store(root):
        return False
    from ferrule.registry.bundles import current_version

    return current_version(root, name, CHAMPION) is not None


def _open_registered(root: Path, name: str | None, which: str, precision: str) -> PortableModel:
    if not _has_mlflow():
        raise RegistryError(
            f"Expected MLflow, to ask the registry for {which!r}; it is not installed; install the extra workflow "
            "(`pip install '.[workflow]'` in a clone), or use the model that ships (pretrained) or an exported one's "
            "folder."
        )
    from ferrule.registry.bundles import fetch_bundle

    folder, found, version = fetch_bundle(root, name, which)
    title = f"{found} version {version}" + ("" if which == version else f" ({which})")
    return PortableModel.open(folder, precision=precision, title=title, version=version)


def _has_mlflow() -> bool:
    return find_spec("mlflow") is not None
