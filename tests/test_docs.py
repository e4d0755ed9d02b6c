"""The documents: every command, stage and parameter is explained, every link leads somewhere, every command exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from conftest import REPOSITORY

from ferrule.cli import cli, join_commands
from flows.dag import read_dag
from flows.results import LINE_HEAD

DOCUMENTS = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (REPOSITORY / "docs").glob("*.md")
)
TEXT = {path.name: path.read_text() for path in DOCUMENTS}
PARAMS = (REPOSITORY / "params.yaml").read_text()

join_commands(cli)


def leaves(command: click.Command, words: tuple[str, ...] = ()):
    """Yield (words, command) for every command below `command`."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from leaves(child, (*words, name))
    else:
        yield words, command


def printed_commands():
    """Yield every line of the documents' shell blocks, and every `ferrule …` in their text, without its comment."""
    for name, text in TEXT.items():
        for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
            yield from ((name, line.split(" #")[0].strip()) for line in block.splitlines() if line.strip())
        yield from ((name, found) for found in re.findall(r"`(ferrule [^`]+)`", text))


@pytest.mark.parametrize("words", [words for words, _ in leaves(cli)], ids=" ".join)
def test_every_command_stands_in_the_readme(words):
    assert f"`ferrule {' '.join(words)}" in TEXT["README.md"]


@pytest.mark.parametrize("stage", read_dag(REPOSITORY).stages)
def test_every_stage_stands_in_the_readme_and_its_artifacts_in_their_page(stage):
    assert f"\n| {stage} |" in TEXT["README.md"]
    assert f"\n## {stage}\n" in TEXT["artifacts.md"]


@pytest.mark.parametrize(("document", "command"), sorted(set(printed_commands())))
def test_every_printed_command_exists(document, command):
    """`ferrule` commands parse with their options; make targets, folders and other programs are there."""
    words = shlex.split(command)
    if words[0] == "ferrule":
        check_ferrule(words[1:])
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    elif words[0] == "python":
        assert Path(REPOSITORY / words[1]).is_file() or words[1] == "-m"
    elif words[0] in ("dvc", "pip", "prefect"):
        help_text = subprocess.run([sys.executable, "-m", *words[:2], "--help"], capture_output=True, text=True)
        assert help_text.returncode == 0
    else:
        assert words[0] in (".", ".ci/run", "git")


def check_ferrule(words):
    command, path = cli, []
    for word in words:
        if not isinstance(command, click.Group) or word.startswith("-"):
            break
        if "|" in word:
            return  # a list of alternatives in running text
        assert word in command.commands, f"ferrule has no {' '.join([*path, word])}"
        command = command.commands[word]
        path.append(word)
    options = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    assert {word for word in words if word.startswith("--")} <= options | {"--debug", "--help", "--version"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_to_a_file(document):
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_every_parameter_is_explained_where_it_stands():
    """Each value of params.yaml has a comment, unless its name and its neighbour's comment say it all."""
    plain = {"seed", "min_rows", "images_per_class", "epochs", "batch_size", "momentum", "weight_decay", "dropout"} | {
        "label_smoothing",
        "calibration_bins",
        "model_name",
        "bins",
        "min_accuracy",
        "min_class_recall",
    }
    sections = yaml.safe_load(PARAMS)
    names = {name for section in sections.values() if isinstance(section, dict) for name in section}
    for name in names - plain:
        assert re.search(rf"^  {name}:.*#", PARAMS, flags=re.MULTILINE), f"{name} has no comment"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_placeholder_is_left(document):
    assert not re.search(r"\b(TODO|FIXME|XXX|TBD)\b|[A-Z]{4,}-(OUTPUT|TIME|NUMBERS)", document.read_text())


def test_nothing_of_one_machine_stands_in_the_repository():
    files = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("not a git checkout")
    for name in files.stdout.split():
        path = REPOSITORY / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".lock", ""} and path.is_file():
            assert str(REPOSITORY) + "/" not in path.read_text(errors="ignore"), name
    assert "://" not in (REPOSITORY / "requirements.lock").read_text()


def test_the_table_of_recipes_has_the_columns_that_the_command_prints():
    assert f"| {' | '.join(LINE_HEAD)} |" in TEXT["recipes.md"]


def test_every_recipe_stands_in_its_document_and_in_the_readme():
    for name in yaml.safe_load(PARAMS)["recipes"]:
        assert f"| `{name}` |" in TEXT["recipes.md"], name
        assert f"`{name}`" in TEXT["README.md"], name


def test_the_card_of_the_model_that_ships_stands_in_the_documents():
    assert TEXT["model_card.md"] == (REPOSITORY / "ferrule" / "pretrained" / "model_card.md").read_text()
