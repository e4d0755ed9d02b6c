"""The three floors: imports only go down, and heavy libraries stay in the modules that exist for them."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from conftest import REPOSITORY

WITHOUT_PARAMETERS = {"card", "reference"}  # stages that have nothing to tune

MODULES = sorted(
    path.relative_to(REPOSITORY)
    for floor in ("ferrule", "pipelines", "flows")
    for path in (REPOSITORY / floor).rglob("*.py")
)

FORBIDDEN = {
    "ferrule": {"pipelines", "flows", "prefect", "dvc"},
    "pipelines": {"flows", "prefect"},
    "flows": set(),
}

# Each of these libraries is imported in these files alone.
ONLY_IN = {
    "mlflow": {
        "ferrule/registry/aliases.py",
        "ferrule/promotion/evidence.py",  # names a type
        "ferrule/registry/ledger.py",
        "ferrule/monitoring/log.py",  # names a type
        "ferrule/registry/packaging.py",
        "ferrule/registry/versions.py",
        "ferrule/registry/served.py",
        "ferrule/store.py",
        "ferrule/tracking.py",
    },
    "great_expectations": {"ferrule/expectations.py"},
    "cleanlab": {"ferrule/noise/confident.py"},
    "kagglehub": {"flows/data.py"},
    "distributed": {"ferrule/engine.py"},
}


def imported_packages(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield (top-level package, whether at import time) for every import statement of a file."""
    tree = ast.parse((REPOSITORY / path).read_text())
    at_import_time = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], id(node) in at_import_time
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0], id(node) in at_import_time


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_only_go_down(path):
    wrong = {name for name, _ in imported_packages(path)} & FORBIDDEN[path.parts[0]]
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_heavy_libraries_stay_where_they_belong(path):
    for library, homes in ONLY_IN.items():
        if any(name == library for name, _ in imported_packages(path)):
            assert path.as_posix() in homes, f"{path} imports {library}"


def test_every_stage_is_module_params_section_and_dvc_stage():
    from flows.dag import read_dag
    from pipelines.__main__ import STAGES
    from pipelines.params import Params

    assert set(STAGES) == set(read_dag(REPOSITORY).stages)
    assert set(STAGES) - WITHOUT_PARAMETERS <= {field.name for field in fields(Params)}
    for stage in STAGES:
        assert (REPOSITORY / "pipelines" / f"{stage}.py").is_file()
        assert (REPOSITORY / "tests" / f"test_{stage}.py").is_file()


def test_only_the_stages_with_a_network_import_tensorflow(tmp_path):
    """Import every module of the other stages, the flows and the command line in a fresh process."""
    modules = [
        ".".join(path.with_suffix("").parts)
        for path in MODULES
        if path.parts[0] != "ferrule" and path.stem not in {"noise", "train", "evaluate", "register", "__main__"}
    ]
    code = "import importlib, sys\n" + "".join(f"importlib.import_module({name!r})\n" for name in modules)
    code += "sys.exit(bool({'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
