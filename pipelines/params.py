"""Reading params.yaml: an unknown, missing or impossible value is an error, never a default."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ferrule.errors import ParameterError
from ferrule.files import replacing
from pipelines.sections import Params

PARAMS_FILE = "params.yaml"

Kind = TypeVar("Kind")


def load_params(root: Path) -> Params:
    """Read and check `root`/params.yaml; raises ParameterError that names each wrong value and what was expected."""
    return _check(_read_yaml(root))


def pick(kind: type[Kind], section: Any) -> Kind:
    """Return the dataclass `kind` with the values that a `section` of params.yaml has for its fields."""
    return kind(**{field.name: getattr(section, field.name) for field in fields(kind)})  # type: ignore[arg-type]


def choose_recipe(root: Path, name: str) -> str:
    """Write `name` as the recipe into `root`/params.yaml; return what was changed, as a sentence.

    Nothing else in the file changes. Raises ParameterError, and changes nothing, where `name` is not one of its recipes
    or would not make good parameters.
    """
    path = root / PARAMS_FILE
    content, before = _read_yaml(root), load_params(root).recipe
    _check(content | {"recipe": name})
    text = path.read_text(encoding="utf-8")
    changed = re.sub(rf"^recipe: *{before}\b", f"recipe: {name}", text, count=1, flags=re.MULTILINE)
    if before == name:
        return f"{PARAMS_FILE} already says recipe: {name}."
    if changed == text:
        raise ParameterError(f"Expected a line `recipe: {before}` in {PARAMS_FILE}; there is none; write it as that.")
    with replacing(path) as draft:
        draft.write_text(changed, encoding="utf-8")
    return f"{PARAMS_FILE} now says recipe: {name} (it was {before})."


def _read_yaml(root: Path) -> Any:
    """Return what params.yaml holds; raises ParameterError where it is missing or no YAML."""
    path = root / PARAMS_FILE
    if not path.is_file():
        raise ParameterError(f"Expected {PARAMS_FILE} in {root}; it is not there; run this in the project's folder.")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506  # a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"Expected YAML in {PARAMS_FILE}; {' '.join(str(error).split())}; correct it.") from error


def _check(content: Any) -> Params:
    """Return the parameters that the content of params.yaml makes; raises ParameterError that names what is wrong."""
    followed = _follow_recipe(content)
    try:
        # Strict dataclasses take a mapping only from JSON.
        return TypeAdapter(Params).validate_json(json.dumps(followed, default=str))
    except ValidationError as error:
        found = "; ".join(map(_describe, error.errors()))
        recipe = f" under recipe {content['recipe']}" if "train." in found and isinstance(content, dict) else ""
        raise ParameterError(f"Expected other values in {PARAMS_FILE}{recipe}: {found}; correct them.") from error


def _describe(error: ErrorDetails) -> str:
    """Return which value is wrong and how; what stands around a missing one tells nothing."""
    got = "" if error["type"] == "missing" else f" (got {error['input']!r})"
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}{got}"


def _follow_recipe(content: Any) -> Any:
    """Return params.yaml's content with what the chosen recipe says in its section `train`, and without `recipes`."""
    if not isinstance(content, dict) or not isinstance(content.get("train"), dict):
        return content
    name, recipes = content.get("recipe"), content.get("recipes")
    if not isinstance(recipes, dict) or name is None:
        raise ParameterError(
            f"Expected `recipe` and `recipes` in {PARAMS_FILE}; they are not there, as in older versions; take both "
            "from the repository's."
        )
    if not isinstance(name, str) or name not in recipes:
        raise ParameterError(
            f"Expected recipe among {', '.join(map(str, recipes))}; got {name!r}; choose one of these."
        )
    if not isinstance(recipes[name], dict):
        raise ParameterError(
            f"Expected values of `train` in recipes.{name}; got {recipes[name]!r}; write {{}} for none."
        )
    rest = {key: value for key, value in content.items() if key != "recipes"}
    return rest | {"train": content["train"] | recipes[name]}


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error and not silently the last (`<<` merges are none)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Build a mapping whose keys are all different."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.value != "<<"]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{', '.join(map(str, sorted(twice)))} stands twice{node.start_mark}")
        return super().construct_mapping(node, deep)
