"""Python and the packages: what pyproject.toml allows, and what requirements.lock was tested with."""

import platform
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from flows.checks import Finding

INSTALL = "pip install --constraint requirements.lock --editable '.[workflow]'"
SHOWN = 5  # packages named in one finding


def check_python(root: Path) -> list[Finding]:
    """Compare the interpreter with what pyproject.toml asks for."""
    asked = _read_project(root).get("requires-python", "")
    if SpecifierSet(asked).contains(platform.python_version(), prereleases=True):
        return []
    sentence = f"Expected Python {asked}; this is {platform.python_version()}."
    return [Finding("error", sentence, "rm -r .venv && make PYTHON=python3.12 demo")]


def check_packages(root: Path) -> list[Finding]:
    """Compare what is installed with the ranges of pyproject.toml: of the library and of the workflow."""
    project, installed = _read_project(root), read_installed()
    workflow = project.get("optional-dependencies", {}).get("workflow", [])
    asked = [Requirement(line) for line in [*project.get("dependencies", []), *workflow]]
    return [Finding("error", sentence, INSTALL) for sentence in compare_ranges(asked, installed)]


def check_lock(root: Path) -> list[Finding]:
    """Compare what is installed with the exact versions of requirements.lock; packages it leaves out do not matter."""
    lock = root / "requirements.lock"
    if not lock.is_file():
        return []
    pins = [Requirement(line) for line in lock.read_text().splitlines() if line.strip() and line[0] not in "#-"]
    others = compare_pins(pins, read_installed())
    if not others:
        return []
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    sentence = (
        f"Other versions are installed than requirements.lock was tested with: {', '.join(others[:SHOWN])}{more}."
    )
    return [Finding("warning", sentence, INSTALL)]


@cache
def read_installed() -> dict[str, str]:
    """Return the version of each installed package, by its normalised name."""
    found = ((package.metadata["Name"], package.version) for package in distributions())
    return {canonicalize_name(name): version for name, version in found if name}


def compare_ranges(asked: Iterable[Requirement], installed: dict[str, str]) -> list[str]:
    """Return a sentence for each package that is missing or out of its range."""
    sentences = []
    for requirement in asked:
        version = installed.get(canonicalize_name(requirement.name))
        if not _applies(requirement) or (version and requirement.specifier.contains(version, prereleases=True)):
            continue
        came = f"{version} is installed" if version else "it is not installed"
        sentences.append(f"Expected {requirement.name}{requirement.specifier}; {came}.")
    return sentences


def compare_pins(pins: Iterable[Requirement], installed: dict[str, str]) -> list[str]:
    """Return `name 1.0 (2.0)` for each package that is installed (1.0) in another version than its pin's (2.0)."""
    found = ((pin, installed.get(canonicalize_name(pin.name))) for pin in pins if _applies(pin))
    return [
        f"{pin.name} {version} ({str(pin.specifier).removeprefix('==')})"
        for pin, version in found
        if version and not pin.specifier.contains(version, prereleases=True)
    ]


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


def _read_project(root: Path) -> dict[str, Any]:
    path = root / "pyproject.toml"
    return tomllib.loads(path.read_text())["project"] if path.is_file() else {}
