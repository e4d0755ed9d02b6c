"""`ferrule run` beside `dvc repro`, from nothing and with nothing to do, on the embedded sample and a short training.

Both run in a copy of this project without git. The flow is asked for no promotion, which `dvc repro` does not know.
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import yaml

from bench.rows import ROOT, Row, Setup, alternate, compare, seconds
from ferrule.engine import worker_count

RUNS = 3
PROJECT = ("ferrule", "pipelines", "flows", ".dvc/config", ".dvcignore", "dvc.yaml", "params.yaml", "prefect.toml")
SHORT: dict[str, dict] = {
    "noise": {"folds": 2, "epochs": 1, "epoch_images": 600},
    "train": {"network": "small", "epochs": 1, "epoch_images": 1500, "sizes": [48], "members": 1, "distil": 0.0},
    "evaluate": {"bootstrap": 200},
    "robustness": {"images": 50},
}
ELSEWHERE = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")  # nobody's servers are to see these runs

FLOW = ("ferrule", "run", "--no-promote")
SERIAL = ("dvc", "repro")
LIBRARIES = ("python", "-c", "import dvc.repo, prefect")


def measure(setup: Setup, *, changes: dict[str, dict] = SHORT) -> list[Row]:
    """Return the rows of a run from nothing and of one with nothing to do; `changes` go into params.yaml."""
    prepared, project = setup.folder / "prepared", setup.folder / "project"
    copy_project(prepared, changes)
    run(prepared, "ferrule", "data", "sample")
    processor: list[float] = []

    def from_nothing(command: tuple[str, ...]) -> float:
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(prepared, project, symlinks=True)
        before = _processor_seconds()
        took = seconds(lambda: run(project, *command))
        if command == SERIAL:
            processor.append(_processor_seconds() - before)
        return took

    def again(command: tuple[str, ...]) -> float:
        return seconds(lambda: run(project, *command))

    everything = alternate(lambda: from_nothing(FLOW), lambda: from_nothing(SERIAL), setup.runs, warm_up=False)
    nothing = alternate(lambda: again(FLOW), lambda: again(SERIAL), setup.runs)
    libraries = statistics.median(again(LIBRARIES) for _ in range(setup.runs))
    return [
        compare(
            "ferrule run, every stage",
            "dvc repro, one stage at a time",
            "s",
            everything,
            limit=statistics.median(processor) / worker_count(),
            limit_is="dvc repro's processor time spread over all cores",
        ),
        compare(
            "ferrule run, nothing changed",
            "dvc repro, nothing changed",
            "s",
            nothing,
            limit=libraries,
            limit_is="importing DVC and Prefect",
        ),
    ]


def copy_project(target: Path, changes: dict[str, dict]) -> None:
    """Write what a run needs of this project to `target`, with `changes` in its params.yaml and a recipe of no more."""
    for name in PROJECT:
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    params = yaml.safe_load((target / "params.yaml").read_text())
    params["recipes"] = {params["recipe"]: {}}
    for section, values in changes.items():
        params[section].update(values)
    (target / "params.yaml").write_text(yaml.safe_dump(params))


def run(root: Path, program: str, *arguments: str) -> None:
    """Run a program of this environment in `root`, on the code there; CalledProcessError where it fails."""
    programs = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    environment |= {"PYTHONPATH": str(root), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"DVC_NO_ANALYTICS": "1"}
    command = [str(programs / program), *arguments]
    done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        done.check_returncode()


def _processor_seconds() -> float:
    """Return the processor time of all that was started and has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
