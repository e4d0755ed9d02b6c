"""Confident learning: which labels what a network says out of fold speaks against, and in which order to look at them.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 2021), in cleanlab.
"""

from typing import Any

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from ferrule.metrics import wilson


def judge_labels(labels: np.ndarray, probabilities: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Return a row an image: `label_quality` (0 to 1), `suspected`, and `suggested`, the most probable class.

    `labels` are class ids (n,), `probabilities` (n, k) are out of fold. The quality is the probability of the label.
    How many labels of a class are wrong, and which class each ought to be, is estimated from the rows of which the
    network is as sure as it is on average of that class; those count as suspected that are among the least probable of
    both their label and their pair of classes.
    """
    quality, suspected = np.empty(0), np.empty(0, bool)
    if len(labels):
        quality = get_label_quality_scores(labels, probabilities, method="self_confidence")
        suspected = find_label_issues(labels, probabilities, filter_by="both", n_jobs=1)
    suggested = np.array(classes)[probabilities.argmax(axis=1)]
    return pd.DataFrame({"label_quality": quality, "suspected": suspected, "suggested": suggested})


def rank_suspects(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `table`, from the most suspect on: those suspected first, and by quality within both."""
    return table.sort_values(["suspected", "label_quality", "sample_id"], ascending=[False, True, True])


def summarise_noise(table: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, Any]:
    """Count what is suspected: the keys of noise.json from `rows` to `pairs`.

    `table` has `label`, `suspected`, `suggested` and the probabilities' `p_<class>`; `accuracy` is that of the most
    probable class, None without rows.
    """
    right = int((table["label"] == table["suggested"]).sum())
    suspected = table[table["suspected"]]
    pairs = suspected.groupby(["label", "suggested"]).size().sort_values(ascending=False, kind="stable")
    rows, found = table["label"].value_counts(), suspected["label"].value_counts()
    return {
        "rows": len(table),
        "suspected": len(suspected),
        "share": round(len(suspected) / max(1, len(table)), 6),
        "accuracy": wilson(right, len(table)).as_dict() if len(table) else None,
        "classes": {name: {"rows": int(rows.get(name, 0)), "suspected": int(found.get(name, 0))} for name in classes},
        "pairs": [
            {"label": label, "suggested": suggested, "rows": int(count)} for (label, suggested), count in pairs.items()
        ],
    }
