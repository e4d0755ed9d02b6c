"""Temperature scaling: one number that makes confidences honest and leaves every prediction what it was.

Guo et al. 2017, "On Calibration of Modern Neural Networks": the logits are divided by a temperature T, fitted on
validation images; T above 1 takes confidence away. Probabilities are logits up to a constant once their logarithm is
taken, so the network itself is not needed.
"""

from typing import TYPE_CHECKING

import numpy as np

from ferrule.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

RANGE = (0.05, 20.0)  # of temperatures that are tried; at an end of it the labels do not say how sure to be
_SMALLEST = 1e-12  # a probability of 0 counts as this, as in the log loss


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the temperature, within RANGE, that minimises the log loss.

    `labels` are class ids (n,), `probabilities` (n, k) with rows that sum to 1, of images that were not trained on.
    Raises DataError without rows or where shapes disagree.
    """
    from scipy.optimize import minimize_scalar

    if len(labels) == 0 or probabilities.ndim != 2 or len(probabilities) != len(labels):
        raise DataError(
            f"Expected labels (n,) and probabilities (n, k) with n > 0; got {np.shape(labels)} and "
            f"{probabilities.shape}; fit the temperature on a split that has rows."
        )
    logits, rows = _logarithms(probabilities), np.arange(len(labels))

    def log_loss(log_temperature: float) -> float:
        return -float(_log_softmax(logits / np.exp(log_temperature))[rows, labels].mean())

    found = minimize_scalar(log_loss, bounds=tuple(np.log(RANGE)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities (n, k) at `temperature`, float64: in float32 two classes that differ could become equal.

    Raises DataError for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise DataError(f"Expected a temperature above 0; got {temperature}; fit it again on validation images.")
    return np.exp(_log_softmax(_logarithms(probabilities) / temperature))


def calibrate_predictions(
    predictions: "pd.DataFrame", classes: tuple[str, ...]
) -> "tuple[pd.DataFrame, dict[str, float]]":
    """Return a table of predictions with its probabilities at the temperatures fitted on its val rows, and these.

    Plain predictions and those with test-time averaging, whose columns end with `_tta`, each have their own: keys are
    the endings. Raises DataError where there are no val rows.
    """
    # Here, so that what only applies a temperature does without pandas and the scores behind these.
    from ferrule.emotions import class_ids
    from ferrule.predictions import AVERAGED, PLAIN, read_probabilities

    val, calibrated, temperatures = predictions[predictions["split"] == "val"], predictions.copy(), {}
    labels = np.array(class_ids(val["label"], classes), dtype=int)
    for ending in (PLAIN, AVERAGED):
        found = round(fit_temperature(labels, read_probabilities(val, classes, ending)), 4)
        scaled = apply_temperature(read_probabilities(predictions, classes, ending), found)
        calibrated[[f"probability_{name}{ending}" for name in classes]] = scaled
        temperatures[ending] = found
    return calibrated, temperatures


def _logarithms(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _SMALLEST))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
