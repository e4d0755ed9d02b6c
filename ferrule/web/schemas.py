"""What comes in and what goes out, field by field: the OpenAPI of the server is made from it."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from ferrule.samples import IMAGE_SIZE
from ferrule.scoring.abstention import TARGETS
from ferrule.web.limits import Limits


def check_abstain(wanted: float) -> float:
    """Return an accuracy that one may ask for, or 0; raises ValueError for another."""
    if wanted and not TARGETS[0] <= wanted <= TARGETS[-1]:
        raise ValueError(f"expected 0, or an accuracy within {TARGETS[0]:.2f} and {TARGETS[-1]:.2f}")
    return wanted


class Strict(BaseModel):
    """Nothing that is not named here is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _count_names(cls, given: Any) -> Any:
        """Refuse what has more names than there are, at once: hundreds of thousands would be as many errors."""
        if isinstance(given, dict) and len(given) > len(cls.model_fields):
            raise ValueError(f"expected at most {len(cls.model_fields)} names; got {len(given):,}")
        return given


class Options(Strict):
    """How to answer."""

    explain: bool = Field(False, description="Also say which places of a face speak for its label, and which against.")
    abstain: Annotated[float, Field(allow_inf_nan=False), AfterValidator(check_abstain)] | None = Field(
        None,
        description="Say 'uncertain' where that is needed for answers that are right in this share of validation "
        "images, 0.50 to 0.99; 0: never; left out: as the server was told.",
    )


class PhotoOptions(Options):
    """How to look at photos."""

    crops: bool = Field(False, description="Each photo is one face already: look for none, take the whole picture.")


Row = Annotated[
    list[Annotated[int, Field(ge=0, le=255, strict=True)]],
    Field(min_length=IMAGE_SIZE, max_length=IMAGE_SIZE, fail_fast=True),
]
Rows = Annotated[list[Row], Field(min_length=IMAGE_SIZE, max_length=IMAGE_SIZE, fail_fast=True)]
Image = Annotated[
    Annotated[str, Tag("text")] | Annotated[Rows, Tag("rows")],
    Discriminator(lambda given: "text" if isinstance(given, str) else "rows"),
    Field(description="48 rows of 48 grey values, 0 to 255; or these 2,304 numbers as FER-2013 writes them."),
]


class Pixels(Options):
    """Faces as grey values, and how to answer."""

    images: Annotated[list[Image], Field(min_length=1, max_length=Limits.crops, fail_fast=True)]


class Box(BaseModel):
    """A rectangle, in pixels of the upright photo."""

    x: int
    y: int
    width: int
    height: int


class Face(BaseModel):
    """What is said of one face."""

    box: Box | None = Field(description="Where it is; null for a crop.")
    detection: float | None = Field(description="How sure the detector is that it is a face, 0 to 1; null for a crop.")
    label: str = Field(description="A class of the model, 'uncertain', or 'no face' where a crop shows none.")
    confidence: float | None = Field(description="The calibrated probability of the most likely class.")
    probabilities: dict[str, float] | None = Field(
        description="Of each class, calibrated; null where there is no face."
    )
    reason: str | None = Field(description="Why it is no face.")
    seen: Box | None = Field(
        None, description="The square that the model looked at, margin included; it may reach outside."
    )
    explanation: list[list[float]] | None = Field(
        None, description="48 rows of 48 values, -1 (against the most likely class) to 1 (for it), over `seen`."
    )


class Photo(BaseModel):
    """What is said of one file."""

    file: str = Field(description="Its name, as it was sent, without folders.")
    width: int | None = Field(description="In pixels, after its EXIF orientation was applied.")
    height: int | None
    faces: list[Face] = Field(description="The largest first; empty where none was found.")
    problem: str | None = Field(description="Why it could not be read.")


class Answerer(BaseModel):
    """The model that answered."""

    title: str
    version: str | None = Field(description="Of the registry; null for a model that comes from elsewhere.")


class Rule(BaseModel):
    """When the model says nothing: below `threshold`, so that its answers are right in `target` of the images."""

    target: float
    threshold: float | None = Field(description="On confidence; null: no threshold reaches it, so nothing is answered.")
    coverage: float | None = Field(description="The share of validation images that is answered.")
    accuracy: float | None = Field(description="Of these.")
    lower: float | None = Field(description="What it is at least, with 95 % certainty.")


class Photos(BaseModel):
    """The answer to an upload."""

    model: Answerer
    abstain: Rule | None
    files: list[Photo]


class Faces(BaseModel):
    """The answer to grey values, in their order."""

    model: Answerer
    abstain: Rule | None
    faces: list[Face]


class Health(BaseModel):
    """Whether it answers, and with the newest model."""

    status: str = Field(description="'ok', or 'degraded': it answers, with a model that may not be the newest.")
    model: Answerer
    since: str = Field(description="When this model took over, UTC.")
    follows: bool = Field(description="Whether it follows an alias of a registry.")
    trouble: str | None = Field(description="Why it is degraded.")


class About(BaseModel):
    """The model and what it can do; scores have `value`, and `low` and `high`, their 95 % interval."""

    title: str
    version: str | None
    name: str
    classes: list[str] = Field(description="In the order of the network's outputs.")
    precision: str = Field(description="Of its arithmetic: float32 or int8.")
    temperature: float = Field(description="By which logits are divided, fitted on validation images.")
    scores: dict[str, Any] = Field(description="By block of images: test, test_leak_free, val.")
    recalls: dict[str, Any] = Field(description="The share of each class's test images that is found.")
    abstention: list[Rule] = Field(description="For accuracies .50 to .99.")
    curve: list[dict[str, float]] = Field(description="Accuracy by coverage, on validation images.")
    parity: dict[str, Any] = Field(description="How near this form of the network is to the one that was trained.")
    model_md5: str
    abstain: float | None = Field(description="What `abstain` is where a request does not say.")
    limits: dict[str, float | None] = Field(description="Of requests to this server.")
    use: str = Field(description="What it must not be used for.")


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str = Field(description="One sentence: what was expected, what came, what to do.")
