"""Which model a server answers with, and where it finds the next one."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ferrule.models import AUTO, CHAMPION, PRETRAINED, is_folder, open_model
from ferrule.portable.model import PortableModel
from ferrule.store import has_store
from ferrule.web.following import POLL, Follower, Source, warm_up


def follow_model(
    which: str = AUTO, *, name: str | None = None, root: Path, precision: str = "float32", poll: float = POLL
) -> Follower:
    """Return the model that `open_model` gives, which follows its alias where it has one; raises as `open_model`.

    "auto" follows the champion, also one that is yet to come.
    """
    if is_folder(which):  # its path is nothing to tell to clients
        folder = Path(which)
        return Follower(warm_up(PortableModel.open(folder, precision=precision, title=f"the model {folder.name}")))
    model = warm_up(open_model(which, name=name, root=root, precision=precision))
    if which == PRETRAINED or which.isdecimal():
        return Follower(model)
    alias = CHAMPION if which == AUTO else which
    source = Source(
        partial(_find_version, root, name, alias), partial(open_model, alias, name=name, root=root, precision=precision)
    )
    return Follower(model, source, poll=poll)


def _find_version(root: Path, name: str | None, alias: str) -> str | None:
    """Return the version with the alias; None where there is no registry."""
    if not has_store(root) or find_spec("mlflow") is None:
        return None
    from ferrule.registry.bundles import current_version

    return current_version(root, name, alias)
