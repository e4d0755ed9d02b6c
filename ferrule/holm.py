"""Many tests at once: p-values adjusted so that the chance of any false alarm among them is the level."""

import numpy as np


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values (…, m) adjusted so that the chance of any false alarm among the m is the level (Holm 1979)."""
    order = np.argsort(p_values, axis=-1)
    ranked = np.take_along_axis(p_values, order, axis=-1)
    count = ranked.shape[-1]
    adjusted = np.minimum(np.maximum.accumulate(ranked * (count - np.arange(count)), axis=-1), 1.0)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, axis=-1)
    return result
