"""The values of params.yaml as frozen models: an unknown, missing or impossible value is an error, never a default."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ferrule.emotions import order_classes
from ferrule.errors import FerruleError, ParameterError

PARAMS_FILE = "params.yaml"

Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A section of params.yaml; extra names are refused, so a typing error cannot pass for a setting."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Ingest(Section):
    """Reading the raw data."""

    classes: tuple[str, ...] = Field(strict=False)
    max_reject_fraction: Share

    @field_validator("classes")
    @classmethod
    def _order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return order_classes(names)
        except FerruleError as error:
            raise ValueError(str(error)) from error


class Validate(Section):
    """What the data must be like."""

    min_rows: Count
    min_class_rows: Count
    max_class_share: Share
    max_blank_share: Share
    max_faint_share: Share
    max_conflict_share: Share


class Audit(Section):
    """Finding copies."""

    near_bits: Annotated[int, Field(ge=0, le=40)]


class Explore(Section):
    """Pictures of the data."""

    images_per_class: Count


class Augment(Section):
    """Generating images for the rare classes."""

    target: Annotated[float, Field(ge=1, le=10)]
    flip: Share
    rotation: Annotated[float, Field(ge=0, le=45)]
    shift: Annotated[float, Field(ge=0, le=0.3)]
    zoom: Annotated[float, Field(ge=0, le=0.5)]
    brightness: Annotated[float, Field(ge=0, le=0.5)]
    contrast: Annotated[float, Field(ge=0, le=0.9)]
    erasing: Share


class Split(Section):
    """Which image goes where."""

    strategy: Literal["auto", "official", "stratified"]
    twins: Literal["drop", "keep"]
    test_fraction: Fraction
    val_fraction: Fraction


class Train(Section):
    """The network and its fit."""

    network: Literal["small", "medium"]
    epochs: Count
    batch_size: Annotated[int, Field(ge=8, le=4096)]
    precision: Literal["auto", "float32", "bfloat16"]


class Evaluate(Section):
    """Scores and their intervals."""

    bootstrap: Annotated[int, Field(ge=100)]
    calibration_bins: Annotated[int, Field(ge=5, le=100)]


class Register(Section):
    """The model registry."""

    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


class Reference(Section):
    """What drift is later measured against."""

    bins: Annotated[int, Field(ge=5, le=200)]


class Promotion(Section):
    """The gate before the champion alias."""

    min_accuracy: Share
    min_class_recall: Share
    max_accuracy_loss: Share


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**31)]
    ingest: Ingest
    validate: Validate  # type: ignore[assignment]  # hides a deprecated method of pydantic's; the stage's name comes first
    audit: Audit
    explore: Explore
    augment: Augment
    split: Split
    train: Train
    evaluate: Evaluate
    register: Register  # type: ignore[assignment]
    reference: Reference
    promotion: Promotion


def load_params(root: Path) -> Params:
    """Read and check `root`/params.yaml; raises ParameterError that names each wrong value and what was expected."""
    path = root / PARAMS_FILE
    if not path.is_file():
        raise ParameterError(f"Expected {PARAMS_FILE} in {root}; it is not there; run this in the project's folder.")
    try:
        content = yaml.safe_load(path.read_text())
        return Params.model_validate(content)
    except yaml.YAMLError as error:
        raise ParameterError(f"Expected YAML in {PARAMS_FILE}; {' '.join(str(error).split())}; correct it.") from error
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise ParameterError(f"Expected other values in {PARAMS_FILE}: {found}; correct them.") from error
