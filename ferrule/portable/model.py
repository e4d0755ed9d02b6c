"""A portable model: face crops in; calibrated probabilities and embeddings out, by ONNX Runtime."""

from pathlib import Path

import numpy as np

from ferrule.calibration import apply_temperature
from ferrule.errors import DataError, ParameterError
from ferrule.portable.bundle import MODELS, Facts, find_model, read_bundle, read_model
from ferrule.portable.session import Session
from ferrule.scoring.abstention import Abstention

PRETRAINED = Path(__file__).parents[1] / "pretrained"


class PortableModel:
    """A model with what is known of it. It is loaded when it is first asked; several threads may ask it at once."""

    def __init__(
        self, facts: Facts, session: Session, *, precision: str, title: str, folder: Path, version: str | None = None
    ) -> None:
        self.facts = facts
        self.classes = facts.classes
        self.precision = precision
        self.title = title  # what is said to people
        self.folder = folder  # where its model card lies
        self.version = version  # of the registry, if it comes from there
        self.session = session

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        precision: str = "float32",
        title: str | None = None,
        version: str | None = None,
    ) -> "PortableModel":
        """Return the model in `folder`, which computes in `precision` with as many threads as `worker_count` says.

        Raises DataError where its files are missing, damaged or altered, or where `precision` was left out of it, and
        ParameterError for another precision than float32 and int8.
        """
        if precision not in MODELS:
            raise ParameterError(f"Expected a precision among {', '.join(MODELS)}; got {precision!r}; choose one.")
        facts = read_bundle(folder)
        name = find_model(facts, precision)
        if name is None:
            raise DataError(
                f"Expected {MODELS[precision]} in {folder}; it was left out when the model was exported (parity.json "
                "says why); ask for float32."
            )
        session = Session(read_model(folder, name, facts))
        title = title or f"the model in {folder}"
        return cls(facts, session, precision=precision, title=title, folder=folder, version=version)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, float64 (n, k), of `images`, uint8 (n, 48, 48), grey.

        Raises DataError for images of another shape or type.
        """
        return apply_temperature(self.session.ask(images, "probabilities"), self.facts.temperature)

    def embeddings(self, images: np.ndarray) -> np.ndarray:
        """Return what the last layer tells the classes from, float32 (n, d)."""
        return self.session.ask(images, "embeddings")

    def abstention(self, target: float) -> Abstention:
        """Return when to say nothing so that answers are as accurate as `target`, in whole per cent, rounded up.

        Raises ParameterError where it is not within 0.50 and 0.99.
        """
        targets = [row["target"] for row in self.facts.abstention]
        if not targets[0] <= target <= targets[-1]:
            raise ParameterError(
                f"Expected an accuracy within {targets[0]:.2f} and {targets[-1]:.2f}; got {target}; ask for one there."
            )
        return next(Abstention(**row) for row in self.facts.abstention if row["target"] >= target - 1e-9)


def open_pretrained(precision: str = "float32") -> PortableModel:
    """Return the model that ships with the package; raises as `PortableModel.open`."""
    return PortableModel.open(PRETRAINED, precision=precision, title="the model that ships with Ferrule")
