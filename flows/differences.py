"""The last run beside another: a revision of the repository, another project, or a file of metrics."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ferrule.errors import WorkflowError
from ferrule.report.changes import Evaluation, describe_changes
from pipelines.params import Params

FOLDER = "artifacts/evaluate"

Read = Callable[[str], bytes | None]  # takes a file's name in FOLDER


def tell_changes(root: Path, params: Params, against: str) -> str:
    """Return as Markdown how the evaluation under `root` differs from that of `against`, a revision or a path.

    Raises WorkflowError where either has none.
    """
    here, there = read_evaluation(root, str(root)), read_evaluation(root, against)
    settings = {"draws": params.evaluate.bootstrap, "bins": params.evaluate.calibration_bins, "seed": params.seed}
    return describe_changes(here, there, Path(against).name or against, params.ingest.classes, settings)


def read_evaluation(root: Path, which: str) -> Evaluation:
    """Return an evaluation by the path of a project, a folder or a JSON file, or by a git revision of `root`."""
    path = Path(which).expanduser()
    if path.is_file():
        return Evaluation(_read_metrics(path.read_bytes(), which))
    if path.is_dir():
        folder = path / FOLDER if (path / FOLDER).is_dir() else path
        return _gather(lambda name: (folder / name).read_bytes() if (folder / name).is_file() else None, which)
    return _gather(lambda name: _read_revision(root, which, name), which)


def _gather(read: Read, which: str) -> Evaluation:
    """Return the evaluation whose files `read` gives."""
    metrics = read("metrics.json")
    if metrics is None:
        raise WorkflowError(
            f"Expected {FOLDER}/metrics.json of {which}; it is not there; give a revision whose artifacts are in "
            "DVC's cache or remote (`dvc push` where it was made), or the path of a project or of a metrics.json."
        )
    predictions, seen = (read(name) for name in ("predictions.parquet", "seen.parquet"))
    tables = [None if content is None else pd.read_parquet(io.BytesIO(content)) for content in (predictions, seen)]
    return Evaluation(_read_metrics(metrics, which), *tables)


def _read_metrics(content: bytes, which: str) -> dict:
    """Return the blocks of scores; raises WorkflowError where it is something else."""
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "test" not in found:
        raise WorkflowError(f"Expected scores in {which}, as metrics.json has them; they are not there; give another.")
    return found


def _read_revision(root: Path, revision: str, name: str) -> bytes | None:
    """Return a file of FOLDER as dvc.lock of a revision pins it, from DVC's cache or remote; None where it is lost."""
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        with dvc.api.open(f"{FOLDER}/{name}", repo=str(root), rev=revision, mode="rb") as stream:
            return stream.read()
    except SCMError as error:
        raise WorkflowError(
            f"Expected a path or a git revision; got {revision!r}, which is neither here; fetch it (git fetch), or "
            "correct it."
        ) from error
    except (DvcException, OSError):
        return None
