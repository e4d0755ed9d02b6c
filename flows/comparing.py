"""Two versions of the registry beside each other: their predictions on the same test images, asked for where needed."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ferrule.documents import write_table
from ferrule.errors import RegistryError
from ferrule.promotion.candidates import Candidate, count_unasked, find_obstacle, pair_predictions, select_new_images
from ferrule.promotion.comparison import Comparison, Said, compare
from ferrule.promotion.contest import (
    explain_comparison,
    list_disagreements,
    tabulate_comparison,
    tabulate_confusion,
    tabulate_scores,
)
from ferrule.promotion.evidence import read_candidate, read_rescored, rescore
from ferrule.registry.versions import VersionInfo, describe_version
from ferrule.tracking import digest_test_set
from pipelines.params import Params, load_params

SHOWN = 20  # images on the terminal; --out writes all


@dataclass(frozen=True)
class Pairing:
    """Two versions, what they say of the same images (`images` has these), and what follows from it."""

    one: str
    other: str
    images: pd.DataFrame
    said: Said
    comparison: Comparison
    settings: dict[str, int]  # of `comparison_settings`

    def describe(self) -> str:
        """Return everything for a person, as Markdown."""
        disagreements = self.list_disagreements()
        shown = disagreements.head(SHOWN).astype(str)
        more = f", the first {SHOWN} of them" if len(disagreements) > SHOWN else ""
        return "\n\n".join(
            [
                f"Each by itself, on the same {self.comparison.images:,} test images:",
                tabulate_scores(self.said, self.one, self.other, **self.settings),
                explain_comparison(self.comparison, self.one, self.other),
                tabulate_comparison(self.comparison, self.one, self.other),
                f"How many images more {self.one} takes for a class (columns) than {self.other} does, by label (rows):",
                tabulate_confusion(self.said),
                f"They disagree on {len(disagreements):,} images{more}:",
                write_table(list(shown.columns), shown.to_numpy().tolist()),
            ]
        )

    def list_disagreements(self) -> pd.DataFrame:
        """Return the images of which the two say different classes."""
        return list_disagreements(self.images, self.said, self.one, self.other)


def compare_versions(root: Path, which_one: str, which_other: str) -> Pairing:
    """Compare two versions, given by number or alias, on the test images that are new to both.

    A look is counted only where one of them was never asked about these images. Raises RegistryError where they cannot
    be compared.
    """
    params = load_params(root)
    use_backend(params)
    infos = [describe_version(root, params.register.model_name, which) for which in (which_one, which_other)]
    if infos[0].version == infos[1].version:
        raise RegistryError(f"Expected two versions; {which_one} and {which_other} are both {infos[0].version}.")
    known = [(info, read_candidate(root, info)) for info in infos]
    if known[0][1].predictions is None:
        known.reverse()  # the test images are the first one's
    (_, one), (other_info, other) = known
    obstacle = find_obstacle(one, other)
    if obstacle:
        raise RegistryError(obstacle.replace("the champion, ", ""))
    other = complete_predictions(root, other_info, one, other)
    said = pair_predictions(one, other)
    assert said is not None, "complete_predictions asks it about every image"
    settings = comparison_settings(params)
    return Pairing(
        one=f"version {one.version}",
        other=f"version {other.version}",
        images=select_new_images(one, other),
        said=said,
        comparison=compare(said, **settings),
        settings=settings,
    )


def comparison_settings(params: Params) -> dict[str, int]:
    """Return the settings of `comparison.compare`: those of the stage evaluate."""
    return {"draws": params.evaluate.bootstrap, "bins": params.evaluate.calibration_bins, "seed": params.seed}


def use_backend(params: Params) -> None:
    """Let models that are asked here run on train.backend, which is installed; KERAS_BACKEND may say another."""
    os.environ.setdefault("KERAS_BACKEND", params.train.backend)


def complete_predictions(root: Path, champion: VersionInfo, one: Candidate, other: Candidate) -> Candidate:
    """Return `other`, the champion, with predictions on all images to compare on: its own, kept, or a counted look."""
    if not count_unasked(one, other)[0]:
        return other
    assert one.predictions is not None, "find_obstacle refuses it"
    test_md5 = digest_test_set(one.predictions)
    other = replace(other, predictions=read_rescored(root, champion, test_md5=test_md5))
    if count_unasked(one, other)[0]:
        images = select_new_images(one, other)
        pixels = read_images(root, images)
        other = replace(other, predictions=rescore(root, champion, images, pixels, test_md5=test_md5))
    return other


def read_images(root: Path, wanted: pd.DataFrame) -> np.ndarray:
    """Return the images of `wanted` (sample_id, pixel_hash), uint8 (n, 48, 48), from the artifacts.

    Raises RegistryError where artifacts/ holds others, by their pixels.
    """
    from ferrule.quality import hash_pixels
    from ferrule.samples import load_samples

    samples = load_samples(root / "artifacts" / "augment")
    rows = np.searchsorted(samples.table["sample_id"], wanted["sample_id"].to_numpy())
    found = samples.images[np.minimum(rows, len(samples.images) - 1)]
    if not np.array_equal(hash_pixels(found), wanted["pixel_hash"].to_numpy()):
        raise RegistryError(
            "Expected in artifacts/ the test images to compare on; others are there; bring back their data and split "
            "(`ferrule run`) first."
        )
    return found
