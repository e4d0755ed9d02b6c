"""Two versions before the gate: what is known of each, and the test images on which they can be compared."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ferrule.emotions import class_ids
from ferrule.promotion.comparison import Said

FEWEST_IMAGES = 30  # on fewer, one image more or less would decide
_PROBABILITY = "probability_"


@dataclass(frozen=True)
class Speed:
    """Milliseconds an image, asked one at a time and in batches; medians."""

    single: float
    batch: float


@dataclass(frozen=True)
class Candidate:
    """A registered version and what is known of it on test images.

    `recalls` has one value a class, in the order of the outputs. `predictions` is the table of
    `predictions.tabulate_predictions`, `seen` holds the pixel hashes of `seen.list_seen`; each is None where it
    is lost, and `speed` where the version could not be asked. The scores are of plain predictions, as they are served.
    `export` is what came of exporting it: "passed: …" or "failed: …" with the numbers, or None without a bundle.
    """

    version: str
    validated: bool  # the data passed validation
    missing: tuple[str, ...]  # what its tags do not tell of where it comes from
    accuracy: float
    recalls: dict[str, float]
    predictions: pd.DataFrame | None
    seen: pd.Series | None
    export: str | None
    size: int | None = None  # bytes
    speed: Speed | None = None
    withdrawn: str | None = None  # why it was rolled back, if it was

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes it tells apart."""
        return tuple(self.recalls)


def find_obstacle(challenger: Candidate, champion: Candidate) -> str | None:
    """Return why the two cannot be compared and what to do, as a sentence; None where they can."""
    who = name(champion)
    if not have_same_classes(challenger, champion):
        return (
            f"It tells {', '.join(challenger.classes)} apart, {who} {', '.join(champion.classes)}; "
            "give a model of other classes another register.model_name."
        )
    if challenger.predictions is None or challenger.seen is None:
        return (
            "Its predictions are lost (the model that ships comes without), or which images it was trained on, to "
            f"compare it with {who}; train here (`ferrule run`), or run the evaluate stage again."
        )
    if champion.seen is None:
        return (
            f"It cannot be compared with {who} since it is lost which images that was trained on; "
            "run `ferrule run` once with the settings and data behind that version, which logs them again."
        )
    images, total = len(select_new_images(challenger, champion)), _is_test(challenger.predictions).sum()
    if images < FEWEST_IMAGES:
        return (
            f"It cannot be compared with {who} since only {images:,} of its {total:,} test images are new to both, and "
            f"at least {FEWEST_IMAGES} are asked for; give both the same test images: the same data, seed and split."
        )
    return None


def have_same_classes(challenger: Candidate, champion: Candidate) -> bool:
    """Tell whether the two answer the same question."""
    return set(champion.classes) == set(challenger.classes)


def select_new_images(challenger: Candidate, champion: Candidate) -> pd.DataFrame:
    """Return the challenger's predictions on test images whose pixels neither of the two was trained or selected on.

    Another split or seed may have given them to the champion, and with `split.twins: keep` either may know a copy.
    """
    images = challenger.predictions
    assert images is not None, "find_obstacle refuses it"
    images = images[_is_test(images)]
    for seen in (challenger.seen, champion.seen):
        assert seen is not None, "find_obstacle refuses it"
        images = images[~images["pixel_hash"].isin(seen)]
    return images.reset_index(drop=True)


def count_left_out(challenger: Candidate, images: int) -> int:
    """Return how many of the challenger's test images are not among the `images` that it was compared on."""
    return 0 if challenger.predictions is None else int(_is_test(challenger.predictions).sum()) - images


def find_predictions(images: pd.DataFrame, candidate: Candidate) -> pd.DataFrame:
    """Return `predicted` and `probability_<class>` of `candidate` for `images` as test images; pixels tell which.

    Rows are missing where it was not asked, or where only its answer was kept and not its probabilities.
    """
    columns = ["predicted", *(f"{_PROBABILITY}{each}" for each in candidate.classes)]
    known = candidate.predictions
    if known is None or not set(columns) <= set(known.columns):
        return pd.DataFrame(np.nan, index=images.index, columns=columns)
    said = known[_is_test(known)].drop_duplicates("pixel_hash").set_index("pixel_hash")[columns]
    return said.reindex(images["pixel_hash"]).set_index(images.index)


def count_unasked(challenger: Candidate, champion: Candidate) -> tuple[int, int]:
    """Return on how many of the images that are new to both the champion's word is missing, and how many these are."""
    images = select_new_images(challenger, champion)
    return int(find_predictions(images, champion)["predicted"].isna().sum()), len(images)


def pair_predictions(challenger: Candidate, champion: Candidate) -> Said | None:
    """Return what both say of the test images that are new to both, scored by the challenger's labels.

    None where the champion was not asked about one of them.
    """
    images, classes = select_new_images(challenger, champion), challenger.classes
    other = find_predictions(images, champion)
    if other["predicted"].isna().any():
        return None
    columns = [f"{_PROBABILITY}{each}" for each in classes]
    columns_of_classes = (images["label"], images["predicted"], other["predicted"])
    labels, one, two = (np.array(class_ids(column, classes), int) for column in columns_of_classes)
    return Said(labels, one, two, images[columns].to_numpy(float), other[columns].to_numpy(float), classes)


def name(champion: Candidate) -> str:
    """Return how sentences call the champion."""
    return f"the champion, version {champion.version},"


def _is_test(predictions: pd.DataFrame) -> pd.Series:
    return predictions["split"] == "test"
