"""Probabilities over time, made steady: a weighted mean of their logarithms, where near moments weigh most.

Between two moments t seconds apart the weight is exp(-t / span), to both sides: the past and what comes after. So a
change is not seen late, as with a filter of the past alone; it is seen as less sudden. The mean of logarithms is that
of the logits, up to a constant: where all moments agree nothing changes, and where they contradict each other the
confidence falls.
"""

import numpy as np

_FLOOR = 1e-6  # no moment rules a class out


def smooth(seconds: np.ndarray, probabilities: np.ndarray, span: float) -> np.ndarray:
    """Return the probabilities (n, k) of the moments `seconds` (n,), ascending and not evenly spaced, made steady.

    `span` is in seconds; with 0 they stay as they are.
    """
    if span == 0 or len(seconds) < 2:
        return probabilities
    logs = np.log(np.maximum(probabilities, _FLOOR))
    weighted = np.column_stack([logs, np.ones(len(logs))])
    decay = np.exp(-np.diff(seconds) / span)
    before, after = _accumulate(weighted, decay), _accumulate(weighted[::-1], decay[::-1])[::-1]
    sums = before + after - weighted  # both have the moment itself
    means = sums[:, :-1] / sums[:, -1:]
    exponents = np.exp(means - means.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def _accumulate(values: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """Return each row (n, m) with the sum of those before it, which fade by `decay` (n - 1,) from row to row."""
    sums = values.copy()
    for row in range(1, len(sums)):
        sums[row] += decay[row - 1] * sums[row - 1]
    return sums
