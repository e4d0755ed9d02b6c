"""What generated images, class weights and sampling each do for the rare classes, and what they cost.

    python -m bench.balancing --seeds 2 --write docs/recipes.md

Needs the stages augment and split. Every row is the recipe that params.yaml names with another way to treat rare
classes, trained for about as many images, and scored on validation images alone. The trainings lie in
artifacts/.trials: what is there is not trained again, here or by bench.labels, and one that was killed goes on. Each
takes as long as the recipe: on FER-2013 `quick` 4 to 8 minutes.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.tables import show_tables
from bench.trials import FOLDER, INTERVALS, SEED_STEP, answer
from ferrule.batches import TrainingData
from ferrule.documents import say_spread, write_table
from ferrule.metrics import score
from ferrule.settings import TrainSettings
from pipelines.params import load_params
from pipelines.training_data import read_data


@dataclass(frozen=True)
class Way:
    """A way to treat rare classes: what it is called, and what it changes in the settings for some data."""

    name: str
    change: Callable[[TrainSettings, TrainingData], dict[str, Any]]


def as_they_are(settings: TrainSettings, data: TrainingData) -> dict[str, Any]:
    """Train on originals alone, each once an epoch."""
    return _epochs_of(len(data.originals), settings)


def all_generated(settings: TrainSettings, data: TrainingData) -> dict[str, Any]:
    """Train on all images of the balanced data set."""
    return _epochs_of(len(data.originals) + len(data.generated), settings)


def weighted(power: float) -> Callable[[TrainSettings, TrainingData], dict[str, Any]]:
    """Return the way that lets each class count in the loss by `power` of 1 / its images."""
    return lambda settings, data: as_they_are(settings, data) | {"class_weights": power}


def sampled(power: float) -> Callable[[TrainSettings, TrainingData], dict[str, Any]]:
    """Return the way that draws originals by `power` of 1 / the images of their class."""
    return lambda settings, data: {"sampling": power}


WAYS = (
    Way("originals as they are", as_they_are),
    Way("the recipe: filled up with generated images", lambda settings, data: {}),
    Way("all generated images", all_generated),
    Way("class weights, power 0.5", weighted(0.5)),
    Way("class weights, power 1", weighted(1.0)),
    Way("sampling, power 0.5", sampled(0.5)),
    Way("sampling, power 1", sampled(1.0)),
)


def main() -> int:
    """Print the table, or write it; return the exit status."""
    options = {"seeds": {"type": int, "default": 1, "metavar": "N", "help": "trainings of each way (default: 1)"}}
    return show_tables("balancing", "docs/recipes.md", __doc__, measure_project, options)


def measure_project(root: Path, seeds: int) -> str:
    """Return the table for the project in `root`."""
    params = load_params(root)
    data = read_data(root, params.ingest.classes, params.train.labels)
    settings = TrainSettings(seed=params.seed, **asdict(params.train))
    return measure(data, params.ingest.classes, settings, seeds, root / FOLDER)


def measure(
    data: TrainingData,
    classes: tuple[str, ...],
    settings: TrainSettings,
    seeds: int,
    folder: Path,
    ways: Sequence[Way] = WAYS,
) -> str:
    """Train every way from each of `seeds` seeds, one seed after the other; return the Markdown table."""
    trials: dict[str, list[dict[str, Any]]] = {way.name: [] for way in ways}
    for number in range(seeds):
        for way in ways:
            own = replace(settings, seed=settings.seed + number * SEED_STEP, **way.change(settings, data))
            trials[way.name].append(try_out(data, classes, own, folder))
    rarest = classes[int(data.class_counts().argmin())]
    head = ["rare classes", "images seen", "accuracy", "18 views", "macro F1, 18 views", f"{rarest} recall, 18 views"]
    return write_table(head, [_row(name, found, rarest) for name, found in trials.items()])


def try_out(data: TrainingData, classes: tuple[str, ...], settings: TrainSettings, folder: Path) -> dict[str, Any]:
    """Return the scores on val, `plain` and `averaged` over 18 views, and how many `images` were seen in training."""
    plain, averaged = (
        score(data.labels[data.val], said, classes, **INTERVALS) for said in answer(data, settings, folder)
    )
    return {"plain": plain, "averaged": averaged, "images": settings.epochs * data.epoch_size(settings.epoch_images)}


def _epochs_of(images: int, settings: TrainSettings) -> dict[str, Any]:
    """Return settings under which an epoch has `images` images, and all epochs about as many as those of `settings`."""
    epochs = round(settings.epochs * settings.epoch_images / images)
    return {"epoch_images": images, "epochs": max(epochs, len(settings.sizes))}


def _row(name: str, trials: Sequence[Mapping[str, Any]], rarest: str) -> list[str]:
    found = [
        [trial["plain"]["accuracy"] for trial in trials],
        [trial["averaged"]["accuracy"] for trial in trials],
        [trial["averaged"]["macro_f1"] for trial in trials],
        [trial["averaged"]["classes"][rarest]["recall"] for trial in trials],
    ]
    return [
        name,
        f"{trials[0]['images'] / 1000:,.0f} k",
        *(say_spread([each["value"] for each in scores]) for scores in found),
    ]


if __name__ == "__main__":
    sys.exit(main())
