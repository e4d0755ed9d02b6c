"""How good the suspicion is, measured against FER+ votes: ten people looked at each image of FER-2013 again.

The votes are a measure here and nothing else: which labels are suspected never depends on them.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ferrule.emotions import class_ids
from ferrule.metrics import NORMAL_QUANTILE, Estimate, ferplus_majority, wilson
from ferrule.noise.confident import rank_suspects

PRECISION_AT = 500  # however many are listed, so that runs can be compared


def measure_suspicion(
    table: pd.DataFrame, majority: np.ndarray, classes: tuple[str, ...], *, at: int = PRECISION_AT
) -> dict | None:
    """Return how far the suspicion is what most voters say, or None where that cannot be told.

    `table` has `sample_id`, `label`, `label_quality` and `suspected`; `majority` int (n,) is what `ferplus_majority`
    says of its rows. Rows without a majority for one of `classes` do not count. `rows` are those that do, `disagree`
    is the share in which the voters see another class than the label: what chance would find. `auc` is the area under
    the ROC curve of telling these by the quality alone, `precision` their share among the `precision_at` most suspect
    of those that count, `suspected` their share among all of these that are suspected. `without_majority` is the share
    of the `at` most suspect of all rows that do not count. None without rows of both kinds that do.
    """
    voted = majority >= 0
    unclear = rank_suspects(table.assign(unclear=~voted))["unclear"].head(at)
    table = table[voted].assign(wrong=np.array(class_ids(table["label"], classes), int)[voted] != majority[voted])
    wrong = table["wrong"].to_numpy()
    if not 0 < wrong.sum() < len(wrong):
        return None
    first = rank_suspects(table)["wrong"].head(at)
    suspected = table.loc[table["suspected"], "wrong"]
    return {
        "rows": len(table),
        "disagree": _share(table["wrong"]),
        "auc": roc_area(-table["label_quality"].to_numpy(), wrong).as_dict(),
        "precision_at": len(first),
        "precision": _share(first),
        "without_majority": _share(unclear),
        "suspected": _share(suspected),
    }


def name_majority(votes: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    """Return the class name (n,) that more than half of an image's FER+ votes give, "" where none of `classes` has."""
    return np.array([*classes, ""])[ferplus_majority(votes, classes)]


def roc_area(scores: np.ndarray, positive: np.ndarray) -> Estimate:
    """Return the area under the ROC curve: the chance that a positive row has a higher score than another.

    `scores` float (n,), `positive` bool (n,), with rows of both kinds. The interval is that of DeLong et al. (1988).
    """
    ranks, yes, no = rankdata(scores), np.count_nonzero(positive), np.count_nonzero(~positive)
    above = (ranks[positive] - rankdata(scores[positive])) / no  # the share of the others that each positive row beats
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / yes
    variance = sum(part.var(ddof=1) / len(part) for part in (above, below) if len(part) > 1)
    area, half = float(above.mean()), NORMAL_QUANTILE * float(np.sqrt(variance))
    return Estimate(area, max(0.0, area - half), min(1.0, area + half))


def _share(rows: pd.Series) -> dict[str, Any]:
    """Return the share of rows that are true, with how many rows these are a share of."""
    return {"rows": len(rows), **wilson(int(rows.sum()), len(rows)).as_dict()}
