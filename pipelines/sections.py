"""The sections of params.yaml as frozen models: names, types and ranges of every value."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from ferrule.emotions import order_classes
from ferrule.errors import FerruleError

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
class Noise:
    """Finding wrong labels."""

    folds: Literal[0] | Annotated[int, Field(ge=2, le=20)]
    epochs: Count
    epoch_images: Count
    batch_size: Annotated[int, Field(ge=8, le=4096)]
    size: Annotated[int, Field(ge=16, le=48)]
    suspects: Count


@dataclass(frozen=True, config=STRICT)
class Train:
    """The network and its fit."""

    backend: Literal["tensorflow", "torch", "jax"]
    labels: Literal["given", "cleaned", "ferplus_soft"]
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
class Export:
    """The files that run without Keras."""

    int8: bool
    calibration_images: Annotated[int, Field(ge=16, le=10_000)]
    min_agreement: Share
    max_difference: Annotated[float, Field(gt=0, le=1)]
    max_int8_loss: Share


@dataclass(frozen=True, config=STRICT)
class Robustness:
    """Accuracy under corruptions and on slices."""

    images: Annotated[int, Field(ge=0)]
    min_slice: Annotated[int, Field(ge=10)]  # an interval of fewer images tells nothing


@dataclass(frozen=True, config=STRICT)
class Register:
    """The model registry."""

    model_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]


@dataclass(frozen=True, config=STRICT)
class Report:
    """The report on the run."""

    faces: Annotated[int, Field(ge=0, le=200)]
    watts_per_core: Annotated[float, Field(gt=0, le=1000)]


@dataclass(frozen=True, config=STRICT)
class Promotion:
    """The gate before the champion alias."""

    mode: Literal["better", "not_worse", "manual"]
    alpha: Annotated[float, Field(gt=0, lt=0.5)]
    margin: Share
    min_accuracy: Share
    min_class_recall: Share
    max_recall_loss: Share
    max_macro_f1_loss: Share
    max_log_loss_rise: Annotated[float, Field(ge=0)]
    max_ece_rise: Share
    max_latency: Annotated[float, Field(gt=0)]
    max_slowdown: Annotated[float, Field(ge=1)]
    max_size: Annotated[float, Field(gt=0)]
    approval_hours: Annotated[float, Field(gt=0, le=720)]


@dataclass(frozen=True, config=STRICT)
class Scoring:
    """Scoring new images."""

    abstain_accuracy: Fraction
    abstain_certainty: Fraction
    chunk_images: Count


@dataclass(frozen=True, config=STRICT)
class Monitoring:
    """Which scored images are compared with the reference, and what counts as drift."""

    window_images: Count
    window_days: Annotated[float, Field(gt=0)]
    max_images: Count
    min_images: Annotated[int, Field(ge=20)]  # below it the approximations of the tests do not hold
    label_days: Annotated[float, Field(gt=0)]
    min_labels: Annotated[int, Field(ge=20)]
    false_alarm_rate: Fraction
    period_days: Annotated[float, Field(gt=0)]
    min_class_shift: Fraction
    min_value_shift: Fraction
    min_embedding_auc: Annotated[float, Field(gt=0.5, lt=1)]
    min_accuracy_loss: Fraction
    min_calibration_gap: Fraction
    cool_down_days: Annotated[float, Field(ge=0)]


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
    noise: Noise
    train: Train
    evaluate: Evaluate
    export: Export
    robustness: Robustness
    register: Register
    report: Report
    promotion: Promotion
    scoring: Scoring
    monitoring: Monitoring
