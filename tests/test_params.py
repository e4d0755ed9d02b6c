"""params.yaml is checked whole: names, types, ranges."""

from dataclasses import replace

import pytest
import yaml
from conftest import REPOSITORY

from ferrule.errors import ParameterError
from pipelines.params import choose_recipe, load_params

GOOD = yaml.safe_load((REPOSITORY / "params.yaml").read_text())


def write(folder, content):
    (folder / "params.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return folder


def test_the_projects_own_params_are_good():
    assert load_params(REPOSITORY).seed == GOOD["seed"]


def test_classes_come_in_the_canonical_order(tmp_path):
    subset = {**GOOD, "ingest": {**GOOD["ingest"], "classes": ["neutral", "Happiness", "sad"]}}
    assert load_params(write(tmp_path, subset)).ingest.classes == ("happy", "sad", "neutral")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("seed", -1, "seed"),
        ("seed", "7", "seed"),
        ("train.epochs", 0, "train.epochs"),
        ("train.epochs", 2.5, "train.epochs"),
        ("train.epoch", 3, "train.epoch: Unexpected"),
        ("split.strategy", "random", "split.strategy"),
        ("split.test_fraction", 1.0, "split.test_fraction"),
        ("ingest.classes", ["happy"], "at least two"),
        ("ingest.classes", ["happy", "hapy"], "hapy"),
        ("ingest.classes", ["happy", "happiness"], "listed twice"),
        ("register.model_name", "a/b", "register.model_name"),
        ("augment", None, "augment"),
    ],
)
def test_a_wrong_value_is_named(path, value, words, tmp_path):
    wrong = yaml.safe_load(yaml.safe_dump(GOOD))
    section, _, name = path.partition(".")
    if name:
        wrong[section][name] = value
    else:
        wrong[section] = value
    with pytest.raises(ParameterError, match=words):
        load_params(write(tmp_path, wrong))


@pytest.mark.parametrize("content", ["", "a: [", "- 1\n- 2", "42", "seed: 1\nseed: 2"])
def test_a_file_that_is_no_mapping_is_one_sentence(content, tmp_path):
    with pytest.raises(ParameterError):
        load_params(write(tmp_path, content))


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ParameterError, match=r"run this in the project's folder"):
        load_params(tmp_path)


def test_a_key_that_stands_twice_is_named(tmp_path):
    text = (REPOSITORY / "params.yaml").read_text().replace("  epochs: 12", "  epochs: 12\n  epochs: 1")
    with pytest.raises(ParameterError, match="epochs stands twice"):
        load_params(write(tmp_path, text))


def test_a_file_in_another_encoding_is_one_sentence(tmp_path):
    (tmp_path / "params.yaml").write_bytes("seed: 1  # für".encode("latin-1"))
    with pytest.raises(ParameterError, match=r"params\.yaml"):
        load_params(tmp_path)


def test_a_recipe_changes_what_it_names_and_nothing_else(tmp_path):
    before = load_params(write(tmp_path, GOOD)).train
    recipes = {"demo": {}, "long": {"epochs": 99, "sizes": [48]}}
    after = load_params(write(tmp_path, {**GOOD, "recipe": "long", "recipes": recipes})).train
    assert after == replace(before, epochs=99, sizes=(48,))


@pytest.mark.parametrize("name", GOOD["recipes"])
def test_every_recipe_of_the_project_is_good(name, tmp_path):
    load_params(write(tmp_path, {**GOOD, "recipe": name}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": "fast"}, "recipe among .*demo.*got 'fast'"),
        ({"recipe": ["demo"]}, "recipe among .*got \\['demo'\\]"),
        ({"recipe": None}, "as in older versions"),
        ({"recipes": None}, "as in older versions"),
        ({"recipes": {"demo": {"epoch": 1}}}, "under recipe demo: train.epoch: Unexpected"),
        ({"recipes": {"demo": None}}, "recipes.demo; got None; write {} for none"),
        ({"recipe": "a.b", "recipes": {"a.b": {}}}, "recipe: .*pattern"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_one_sentence(change, words, tmp_path):
    with pytest.raises(ParameterError, match=words):
        load_params(write(tmp_path, {**GOOD, **change}))


def test_choosing_a_recipe_changes_one_word_of_the_file(tmp_path):
    text = (REPOSITORY / "params.yaml").read_text()
    other = next(name for name in GOOD["recipes"] if name != GOOD["recipe"])
    write(tmp_path, text)
    assert other in choose_recipe(tmp_path, other)
    changed = (tmp_path / "params.yaml").read_text()
    assert changed == text.replace(f"recipe: {GOOD['recipe']} ", f"recipe: {other} ", 1) != text
    assert "already" in choose_recipe(tmp_path, other)
    for name in ("none of them", "a\\1", f"{other} # x"):
        with pytest.raises(ParameterError, match="recipe among"):
            choose_recipe(tmp_path, name)
    assert (tmp_path / "params.yaml").read_text() == changed


def test_a_recipe_with_a_wrong_value_is_not_chosen(tmp_path):
    write(tmp_path, {**GOOD, "recipes": {"demo": {}, "wrong": {"epochs": 0}}})
    before = (tmp_path / "params.yaml").read_text()
    with pytest.raises(ParameterError, match=r"under recipe wrong: train\.epochs"):
        choose_recipe(tmp_path, "wrong")
    assert (tmp_path / "params.yaml").read_text() == before


def test_a_missing_value_is_told_without_all_that_stands_around_it(tmp_path):
    text = (REPOSITORY / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("seed:", "sed:", 1))
    with pytest.raises(ParameterError) as found:
        load_params(tmp_path)
    assert "seed: Field required;" in str(found.value)
    assert len(str(found.value)) < 300
