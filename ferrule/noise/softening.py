"""Soft targets: what share of FER+'s voters saw which class, to be learned in place of one label."""

import numpy as np
import pandas as pd

from ferrule.emotions import FERPLUS_VOTES, parse_emotion


def soften_labels(labels: np.ndarray, votes: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """Return targets float32 (n, k), rows summing to 1: the shares of the votes for `classes`.

    `labels` are class ids (n,), -1 for none; `votes` has the columns `votes_<name>` for the names of FERPLUS_VOTES.
    Votes are usable where more than half of them are for `classes`: others (contempt, unknown, not a face, a class that
    is left out) say that the image shows none of these. Rows without usable votes keep their label, and those without
    either are 0 throughout.
    """
    counts = votes[[f"votes_{name}" for name in FERPLUS_VOTES]].fillna(0).to_numpy(np.float32)
    columns = [[parse_emotion(name) for name in FERPLUS_VOTES].index(name) for name in classes]
    of_classes = counts[:, columns]
    usable = 2 * of_classes.sum(axis=1) > counts.sum(axis=1)
    targets = np.vstack([np.eye(len(classes)), np.zeros(len(classes))]).astype(np.float32)[labels]
    targets[usable] = of_classes[usable] / of_classes[usable].sum(axis=1, keepdims=True)
    return targets
