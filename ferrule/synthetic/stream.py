"""Random numbers that never change: the raw bits of PCG64, made into floats by arithmetic that is exact everywhere."""

import numpy as np

from ferrule.samples import IMAGE_SIZE

UNIT = 1.0 / 2**53  # a double holds 53 bits


class Stream:
    """A source of random columns for `count` images, fixed by its seed on every machine and every NumPy.

    PCG64 guarantees that a seed gives the same raw bits for ever; what `Generator` makes of them (`random`, `normal`)
    may change with any version of NumPy, so only raw bits are asked for. A column has shape (count, 1, 1): it
    broadcasts over the pixels of its image.
    """

    def __init__(self, count: int, *seed: int) -> None:
        self.count = count
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def uniform(self, low: float, high: float) -> np.ndarray:
        """Return a column of numbers between `low` and `high`, each as likely as the other."""
        return low + (high - low) * self._units(self.count).reshape(-1, 1, 1)

    def middling(self, low: float, high: float) -> np.ndarray:
        """Return a column of numbers between `low` and `high`, those in the middle the likeliest."""
        return (self.uniform(low, high) + self.uniform(low, high)) / 2

    def chance(self, probability: float) -> np.ndarray:
        """Return a column of ones, with this probability, and zeros."""
        return (self.uniform(0, 1) < probability).astype(np.float64)

    def below(self, limit: int) -> np.ndarray:
        """Return `count` whole numbers under `limit`, int64 (count,)."""
        return (self._units(self.count) * limit).astype(np.int64)

    def shuffle(self) -> np.ndarray:
        """Return the numbers from 0 to `count` - 1 in a random order, int64 (count,)."""
        return np.argsort(self._bits.random_raw(self.count), kind="stable")

    def noise(self) -> np.ndarray:
        """Return bell-shaped noise a pixel, (count, 48, 48): mean 0, standard deviation 1, never beyond 5.

        Eight random bytes are added up (a sum of uniforms is nearly normal): whole numbers, so their order is nothing.
        """
        raw = self._bits.random_raw(self.count * IMAGE_SIZE * IMAGE_SIZE)
        total = raw.view(np.uint8).reshape(self.count, IMAGE_SIZE, IMAGE_SIZE, 8).sum(axis=-1, dtype=np.int64)
        return (total - 1020) / 209.0

    def _units(self, count: int) -> np.ndarray:
        return (self._bits.random_raw(count) >> np.uint64(11)) * UNIT
