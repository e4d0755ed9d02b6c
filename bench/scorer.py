"""Images scored as `ferrule score` does, with the model that ships, for bench/drift.py."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ferrule.monitoring.drift_tests import COMPONENTS, stack_embeddings
from ferrule.scoring.score import Scorer

Score = Callable[[np.ndarray], pd.DataFrame]  # images uint8 (n, 48, 48) to the columns of scored images


def open_scorer() -> Score:
    """Return what scores images as `ferrule score` does, with the model that ships."""
    from ferrule.embeddings import attach_embeddings
    from ferrule.pretrained import load_pretrained
    from ferrule.scoring.abstention import Abstention
    from ferrule.scoring.score import score_images

    shipped = load_pretrained()
    network, never = attach_embeddings(shipped.build()), Abstention(0.0, 0.0)
    scorer = Scorer("shipped", "1", "", shipped.classes, network, shipped.temperature, never)
    return lambda images: score_images(scorer, images).to_pandas()


def shorten(score: Score, basis: np.ndarray) -> Score:
    """Return `score` with embeddings in the coordinates of `basis` (d, e), which is quicker; tests use no others."""

    def short(images: np.ndarray) -> pd.DataFrame:
        table = score(images)
        return table.assign(embedding=list(stack_embeddings(table) @ basis))

    return short


def find_basis(embeddings: np.ndarray) -> np.ndarray:
    """Return the directions, (d, e), of twice as many principal components as the tests look at."""
    return np.linalg.eigh(np.cov(embeddings, rowvar=False))[1][:, -2 * COMPONENTS :]
