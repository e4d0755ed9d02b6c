"""The values of params.yaml as frozen models: an unknown, missing or impossible value is an error, never a default."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from ferrule.emotions import order_classes
from ferrule.errors import FerruleError, ParameterError

PARAMS_FILE = "params.yaml"

Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


# An extra name is refused, so that a typing error cannot pass for a setting.
STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, config=STRICT)
class Ingest:
    """Reading the raw data."""

    classes: tuple[str, ...]
    max_reject_fraction: Share

    @field_validator("classes")
    @classmethod
    def _order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return order_classes(names)
        except FerruleError as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True, config=STRICT)
class Validate:
    """What the data must be like."""

    min_rows: Count
    min_class_rows: Count
    max_class_share: Share
    max_blank_share: Share
    max_faint_share: Share
    max_conflict_share: Share


@dataclass(frozen=True, config=STRICT)
class Audit:
    """Finding copies."""

    near_bits: Annotated[int, Field(ge=0, le=24)]  # false pairs begin beyond: see docs/decisions.md


@dataclass(frozen=True, config=STRICT)
class Explore:
    """Pictures of the data."""

    images_per_class: Count


@dataclass(frozen=True, config=STRICT)
class Augment:
    """Generating images for the rare classes."""

    target: Annotated[float, Field(ge=1, le=10)]
    flip: Share
    rotation: Annotated[float, Field(ge=0, le=45)]
    shift: Annotated[float, Field(ge=0, le=0.3)]
    zoom: Annotated[float, Field(ge=0, le=0.5)]
    brightness: Annotated[float, Field(ge=0, le=0.5)]
    contrast: Annotated[float, Field(ge=0, le=0.9)]
    erasing: Share


@dataclass(frozen=True, config=STRICT)
class Split:
    """Which image goes where."""

    strategy: Literal["auto", "official", "stratified"]
    twins: Literal["drop", "keep"]
    test_fraction: Fraction
    val_fraction: Fraction


@dataclass(frozen=True, config=STRICT)
class Train:
    """The network and its fit."""

    backend: Literal["tensorflow", "torch", "jax"]
    network: Literal["small", "medium"]
    precision: Literal["auto", "float32", "bfloat16"]
    epochs: Count
    epoch_images: Count
    batch_size: Annotated[int, Field(ge=8, le=4096)]
    sizes: Annotated[tuple[Annotated[int, Field(ge=16, le=48)], ...], Field(min_length=1)]
    peak_rate: Annotated[float, Field(gt=0, le=1)]
    rest_rate: Annotated[float, Field(gt=0, le=100)]
    warm_up: Annotated[float, Field(ge=0, lt=1)]
    final_rate: Share
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_weights: Share
    sampling: Share
    dropout: Annotated[float, Field(ge=0, lt=1)]
    mixup: Annotated[float, Field(ge=0, le=10)]
    flip: Share
    rotation: Annotated[float, Field(ge=0, le=45)]
    zoom: Annotated[float, Field(ge=0, le=0.5)]
    aspect: Annotated[float, Field(ge=0, le=0.5)]
    shift: Annotated[float, Field(ge=0, le=0.3)]
    erasing: Share
    members: Annotated[int, Field(ge=1, le=20)]
    distil: Share


@dataclass(frozen=True, config=STRICT)
class Evaluate:
    """Scores and their intervals."""

    bootstrap: Annotated[int, Field(ge=100)]
    calibration_bins: Annotated[int, Field(ge=5, le=100)]


@dataclass(frozen=True, config=STRICT)
class Register:
    """The model registry."""

    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


@dataclass(frozen=True, config=STRICT)
class Reference:
    """What drift is later measured against."""

    bins: Annotated[int, Field(ge=5, le=200)]


@dataclass(frozen=True, config=STRICT)
class Promotion:
    """The gate before the champion alias."""

    min_accuracy: Share
    min_class_recall: Share
    max_accuracy_loss: Share


@dataclass(frozen=True, config=STRICT)
class Params:
    """All of params.yaml; `train` is that section with what the chosen recipe changes in it."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    recipe: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]  # a dot would split it for DVC
    ingest: Ingest
    validate: Validate
    audit: Audit
    explore: Explore
    augment: Augment
    split: Split
    train: Train
    evaluate: Evaluate
    register: Register
    reference: Reference
    promotion: Promotion


def load_params(root: Path) -> Params:
    """Read and check `root`/params.yaml; raises ParameterError that names each wrong value and what was expected."""
    return _check(_read_yaml(root))


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
    path.write_text(changed, encoding="utf-8")
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
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        recipe = f" under recipe {content['recipe']}" if "train." in found and isinstance(content, dict) else ""
        raise ParameterError(f"Expected other values in {PARAMS_FILE}{recipe}: {found}; correct them.") from error


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
            f"Expected recipe among {', '.join(map(str, recipes))}; got {name!r}; correct {PARAMS_FILE}."
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
