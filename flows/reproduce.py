"""A registered version made once more: its commit, data and parameters in a fresh folder, run again and compared.

The folder is a clone of this repository with a DVC cache and an MLflow store of its own, so that nothing is restored
that should be made, and nothing of the project changes but that the version says what came of it.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pandas as pd
import yaml

from ferrule.environment import describe_environment
from ferrule.errors import RegistryError, WorkflowError
from ferrule.registry.versions import DATA_TAG, VersionInfo, describe_version
from ferrule.reproduction import SCORES, Made, Origin, Reproduction, judge
from ferrule.store import open_store
from ferrule.tracking import (
    ENVIRONMENT_TAG,
    EVALUATION_FOLDER,
    RECIPE_TAG,
    TEST_TAG,
    count_look,
    digest_file,
    digest_test_set,
    model_runs,
    read_stages,
    read_table,
)
from flows.data import ensure_data
from flows.pretrained import PRETRAINED_TAG
from flows.project import run_dvc
from pipelines.lineage import read_entries
from pipelines.params import PARAMS_FILE, load_params
from pipelines.pins import read_data_md5, read_ingested_md5

RESULT_TAG = "ferrule.reproduced"  # of a version
LAST_STAGE = "evaluate"

_MARK = Path(".git", "ferrule-reproduction.json")  # in the folder, once it is ready to run; what came of it
_STORE = "project"  # DVC's name, there, for the cache of this project


def reproduce_version(
    root: Path, which: str, into: Path | None = None, *, tell: Callable[[str], None] = print
) -> Reproduction:
    """Make a version, by number or alias, once more in the folder `into`, and compare; the version is tagged with it.

    The default is a folder beside the project, named after both. Where an earlier attempt broke off there, it goes on;
    where one came to its end, nothing is made and what came of it is told again, with its date and environment.
    Making is a look at the test images, and counted. Raises RegistryError for a version that cannot be made again and
    says why, WorkflowError where the folder is taken, the data is gone or a stage fails.
    """
    info = describe_version(root, load_params(root).register.model_name, which)
    origin = read_origin(root, info)
    into = (into or root.parent / f"{root.name}-{info.name}-{info.version}").absolute()
    recorded = _read_recorded(root, info)
    done = _prepare(root, into, origin, tell)
    if done:
        tell(f"Nothing is made: this was done on {done['date']}; name a new folder with --into to make it once more.")
    else:
        tell(f"Running every stage up to {LAST_STAGE} in {into}; {_say_time(root, info)}.")
        run_dvc(into, "repro", LAST_STAGE, on_line=tell, variables=_own_store(into))
    again = read_made(into)
    done = done or _finish(root, into, info, again, judge(recorded, again))
    differences = _compare_environments(root, info, done["environment"])
    return Reproduction(origin, into, recorded, again, done["verdict"], differences)


def read_origin(root: Path, info: VersionInfo) -> Origin:
    """Return what a version was made from; raises RegistryError where its tags do not tell, or git has lost it."""
    commit, data_md5 = info.tags.get("ferrule.git_commit"), info.tags.get(DATA_TAG)
    what = f"{info.name} version {info.version}"
    if PRETRAINED_TAG in info.tags:
        raise RegistryError(
            f"Expected a version that was trained; {what} is the model that ships, with rounded weights; "
            "docs/pretrained.md says how it is made again."
        )
    if not commit or not data_md5:
        raise RegistryError(
            f"Expected the commit and the data behind {what}; its tags do not name both, since it was made outside a "
            "git checkout; train it in one (`ferrule run`)."
        )
    if info.tags.get("ferrule.git_dirty") != "false":
        raise RegistryError(
            f"Expected {what} to come from a commit; code or parameters had changes then that no commit holds; commit "
            "just these and, while artifacts/ still holds this version, record the commit with "
            "`dvc repro --single-item --force register`."
        )
    if _git(root, "cat-file", "-e", f"{commit}^{{commit}}", check=False) is None:
        raise RegistryError(
            f"Expected commit {commit} in this repository, from which {what} was made; git does not know it: it is of "
            "another project or was never fetched; run `git fetch`, or do this in the checkout that made the version."
        )
    if TEST_TAG not in info.tags or not {f"test_{name}" for name in SCORES} <= info.metrics.keys():
        raise RegistryError(
            f"Expected test scores with {what}, to compare with; its run has lost them; run `ferrule run` with its "
            "settings, which logs them again."
        )
    recipe = info.tags.get(RECIPE_TAG) or _read_training(root, info, "tags", RECIPE_TAG)  # of an older Ferrule
    return Origin(info.name, info.version, commit, data_md5, recipe)


def read_made(folder: Path) -> Made:
    """Return what the stages in `folder` have made."""
    evaluation = folder / "artifacts" / LAST_STAGE
    predictions = pd.read_parquet(evaluation / "predictions.parquet")
    test = json.loads((evaluation / "metrics.json").read_text())["test"]
    return Made(
        data_md5=read_ingested_md5(folder) or read_data_md5(folder),
        stages=_list_outputs(read_entries(folder)),
        model_md5=digest_file(folder / "artifacts" / "train" / "model.keras"),
        test_md5=digest_test_set(predictions),
        scores={name: test[name] for name in SCORES},
        predictions=predictions,
    )


def _read_training(root: Path, info: VersionInfo, kind: str, key: str) -> Any:
    """Return a tag or metric of the newest run of the version's bytes that has it, or None."""
    found = (getattr(run.data, kind).get(key) for run in model_runs(open_store(root), info.model_md5))
    return next((value for value in found if value is not None), None)


def _read_recorded(root: Path, info: VersionInfo) -> Made:
    entries = read_stages(root, info.run_id)
    ends = {"value": "", "low": "_low", "high": "_high"}
    return Made(
        data_md5=info.tags[DATA_TAG],
        stages=None if entries is None else _list_outputs(entries),
        model_md5=info.model_md5,
        test_md5=info.tags.get(TEST_TAG),
        scores={name: {end: info.metrics[f"test_{name}{tail}"] for end, tail in ends.items()} for name in SCORES},
        predictions=read_table(root, info.run_id, f"{EVALUATION_FOLDER}/predictions.parquet"),
    )


def _list_outputs(entries: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the MD5s of each stage's outputs."""
    return {stage: [out["md5"] for out in entry.get("outs", [])] for stage, entry in entries.items()}


def _prepare(root: Path, into: Path, origin: Origin, tell: Callable[[str], None]) -> dict[str, Any] | None:
    """Make `into` a clone at the version's commit, with its data and recipe; one that is ready stays as it is.

    Returns what `_finish` wrote there, None where that is yet to come.
    """
    mark = json.loads((into / _MARK).read_text()) if (into / _MARK).is_file() else {}
    if mark.get("origin") == asdict(origin):
        tell(f"Going on in {into}, where this was begun.")
        return cast("dict[str, Any] | None", mark["done"])
    if into.is_relative_to(root) or (into.exists() and (into.is_file() or any(into.iterdir()))):
        raise WorkflowError(
            f"Expected a new or empty folder outside the project; {into} is not; remove it, or name "
            "another with --into."
        )
    tell(f"Cloning commit {origin.commit[:9]} into {into}.")
    _git(root, "clone", "--quiet", "--no-checkout", str(root), str(into))
    _git(into, "checkout", "--quiet", "--detach", origin.commit)
    (into / "dvc.lock").unlink(missing_ok=True)  # every stage is to run
    _write_recipe(into, origin)
    _fetch_data(root, into, origin)
    (into / _MARK).write_text(json.dumps({"origin": asdict(origin), "done": None}))
    return None


def _finish(root: Path, into: Path, info: VersionInfo, again: Made, verdict: str) -> dict[str, Any]:
    """Count the look and tag the version, once; return verdict, date and environment, which the mark keeps."""
    if again.test_md5:
        count_look(root, info.model_md5, again.test_md5)
    date, here = f"{datetime.now(UTC):%Y-%m-%d}", describe_environment()
    result = f"{verdict}; {date}; {here['processor']}"
    open_store(root).set_model_version_tag(info.name, info.version, RESULT_TAG, result)
    done = {"verdict": verdict, "date": date, "environment": here}
    mark = json.loads((into / _MARK).read_text())
    (into / _MARK).write_text(json.dumps(mark | {"done": done}))
    return done


def _write_recipe(into: Path, origin: Origin) -> None:
    """Write the recipe into params.yaml, which the commit may have with another."""
    path = into / PARAMS_FILE
    if origin.recipe:
        changed = re.sub(r"^recipe: *\S+", f"recipe: {origin.recipe}", path.read_text(), count=1, flags=re.MULTILINE)
        path.write_text(changed)


def _fetch_data(root: Path, into: Path, origin: Origin) -> None:
    """Pin the version's data in `into`, and bring it: from this project's cache, else as `ensure_data` does."""
    if read_data_md5(into) != origin.data_md5:
        pin = {"outs": [{"md5": origin.data_md5, "hash": "md5", "path": "data"}]}
        (into / "data.dvc").write_text(yaml.safe_dump(pin))
    local = Path(".dvc", "config.local")
    if (root / local).is_file():  # the keys of remotes
        shutil.copy(root / local, into / local)
    run_dvc(into, "config", "--local", "cache.dir", str(into / ".dvc" / "cache"))
    run_dvc(into, "remote", "add", "--local", "--force", _STORE, run_dvc(root, "cache", "dir").strip())
    try:
        run_dvc(into, "pull", "--remote", _STORE, "data.dvc")
    except WorkflowError:
        ensure_data(into)


def _own_store(into: Path) -> dict[str, str]:
    """Return the variables that let stages in `into` keep their runs there, whatever this process uses."""
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{into.resolve()}/mlruns/mlflow.db", "MLFLOW_REGISTRY_URI": ""}


def _git(folder: Path, *command: str, check: bool = True) -> str | None:
    """Return what git says, None where it fails and that is allowed; raises WorkflowError with its last line."""
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ADVICE": "0"}
    try:
        done = subprocess.run(["git", "-C", folder, *command], capture_output=True, text=True, check=True, env=quiet)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        if not check:
            return None
        told = (getattr(error, "stderr", "") or str(error)).strip().rpartition("\n")[2]
        raise WorkflowError(
            f"Expected `git {command[0]}` to work in {folder}; it said: {told}; put that right."
        ) from error


def _say_time(root: Path, info: VersionInfo) -> str:
    seconds = _read_training(root, info, "metrics", "train_seconds")
    return f"the training took {seconds / 60:.1f} minutes" if seconds else "how long the training took is not recorded"


def _compare_environments(root: Path, info: VersionInfo, here: dict[str, str]) -> dict[str, list[str | None]] | None:
    """Return what differs between the environment of the training and this one."""
    recorded = _read_training(root, info, "tags", ENVIRONMENT_TAG)
    if recorded is None:
        return None
    then = json.loads(recorded)
    names = sorted(then.keys() | here.keys())
    return {name: [then.get(name), here.get(name)] for name in names if then.get(name) != here.get(name)}
