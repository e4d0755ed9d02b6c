"""The DAG as it is read from dvc.yaml, and dvc.yaml held to the code that it names."""

import ast
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from test_architecture import WITHOUT_PARAMETERS

from ferrule.errors import WorkflowError
from flows.dag import read_dag
from pipelines.params import Params

DVC = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]

# Code that moves data, reports or records, but decides no byte of an output.
INFRASTRUCTURE = {
    "ferrule/__init__.py",
    "ferrule/charts/__init__.py",
    "ferrule/engine.py",
    "ferrule/errors.py",
    "ferrule/files.py",
    "ferrule/monitoring/archive.py",
    "ferrule/progress.py",
    "ferrule/registry/__init__.py",
    "ferrule/registry/aliases.py",
    "ferrule/registry/ledger.py",
    "ferrule/store.py",
    "ferrule/tracking.py",
    "pipelines/__init__.py",
    "pipelines/folders.py",
    "pipelines/params.py",
    "pipelines/sections.py",
}


# Files that are used by their path and not by an import.
USED_BY_PATH = {"ferrule/registry/packaging.py": "ferrule/registry/served.py"}


def imported_files(path: str) -> set[str]:
    """Return the project's own files behind `path`, directly or not, but for infrastructure and what is behind that."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        for file in direct_imports(waiting.pop()) - INFRASTRUCTURE - found:
            found.add(file)
            waiting.append(file)
    return found


def direct_imports(path: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    ours = [name.replace(".", "/") for name in names if name.startswith(("ferrule", "pipelines"))]
    files = {file for name in ours for file in (f"{name}.py", f"{name}/__init__.py") if (REPOSITORY / file).is_file()}
    return files | ({USED_BY_PATH[path]} if path in USED_BY_PATH else set())


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_depends_on_the_code_that_decides_its_bytes(stage):
    """Its module and all behind it are listed, as files or as the package they are in, and nothing else of ours is."""
    module = f"pipelines/{stage}.py"
    needed = {module} | imported_files(module)
    listed = {dep for dep in DVC[stage]["deps"] if dep.startswith(("pipelines", "ferrule"))}
    covered = {file: [dep for dep in listed if Path(file).is_relative_to(dep)] for file in needed}
    assert not [file for file, deps in covered.items() if not deps], "not listed in dvc.yaml"
    assert listed == {dep for deps in covered.values() for dep in deps}, "listed, but not needed"


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_names_its_own_parameters(stage):
    """All of them are known (load_params reads the section `recipes` into `train`)."""
    sections = {name.partition(".")[0] for name in DVC[stage]["params"]}
    assert stage in sections or stage in WITHOUT_PARAMETERS
    assert sections - {"recipes"} <= {field.name for field in fields(Params)}


@pytest.mark.parametrize("stage", DVC)
def test_a_stage_reads_no_parameter_that_dvc_does_not_watch(stage):
    """Every `params.x` and `params.x.y` in the module stands in the stage's params, whole or by its section."""
    tree = ast.parse((REPOSITORY / "pipelines" / f"{stage}.py").read_text())
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params":
            used.add(node.attr)
    sections = {name.partition(".")[0] for name in DVC[stage]["params"]}
    assert used <= sections


def test_only_what_the_registry_decides_stays_out_of_the_cache():
    uncached = [name for name, stage in DVC.items() for out in stage["outs"] if isinstance(out, dict)]
    assert uncached == ["register", "report"]


def test_stages_come_after_what_they_need():
    dag = read_dag(REPOSITORY)
    for stage, upstream in dag.upstream.items():
        assert all(dag.stages.index(parent) < dag.stages.index(stage) for parent in upstream)
    assert dag.ancestors("register") == set(DVC) - {"explore", "robustness", "register", "report"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Expected stages"),
        ("stages: 3", "Expected stages"),
        ("stages: {a: {outs: [x], deps: [y]}, b: {outs: [y], deps: [x]}}", "no cycle"),
        ("{", "Expected stages"),
    ],
)
def test_a_broken_dvc_yaml_is_one_sentence(content, words, tmp_path):
    (tmp_path / "dvc.yaml").write_text(content)
    with pytest.raises(WorkflowError, match=words):
        read_dag(tmp_path)


def test_a_dependency_inside_an_output_is_a_dependency(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {b: {deps: [out/a/file]}, a: {outs: [out/a]}, c: {deps: [out/ab]}}")
    assert read_dag(tmp_path).upstream["b"] == ("a",)
    assert read_dag(tmp_path).upstream["c"] == ()
