"""The batches of one epoch: drawn, distorted and mixed in a way that depends on nothing but the seed and the epoch."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ferrule.views import Distortion, distort


@dataclass(frozen=True)
class TrainingData:
    """Images, and which of them to train on and to select on.

    `images` uint8 (n, 48, 48) may be memory-mapped: only the rows of a batch are read. `labels` int (n,) are class ids.
    `originals`, `generated` (both to train on) and `val` are positions in these. `targets`, float32 (n, n_classes), are
    what to learn in place of the labels: a teacher's probabilities, say; rows that are not trained on are not read.
    """

    images: np.ndarray
    labels: np.ndarray
    originals: np.ndarray
    generated: np.ndarray
    val: np.ndarray
    n_classes: int
    targets: np.ndarray | None = None

    def epoch_size(self, limit: int) -> int:
        """Return the number of images in an epoch of at most `limit`."""
        return min(limit, len(self.originals) + len(self.generated))

    def class_counts(self) -> np.ndarray:
        """Return the number of originals of each class, int (n_classes,)."""
        return np.bincount(self.labels[self.originals], minlength=self.n_classes)


def draw_rows(data: TrainingData, limit: int, rng: np.random.Generator, sampling: float = 0.0) -> np.ndarray:
    """Return at most `limit` rows for an epoch, in random order: originals first, then generated images, drawn anew.

    The limit thus says how far the classes are balanced: all rows make them equal, as many as there are originals leave
    them as they are. (Drawing from all rows alike would leave out originals for distorted copies of others.)

    With `sampling` above 0 originals alone are drawn, with repetition, each class as often as its number of originals
    to the power of 1 - sampling says: 1 draws all classes equally often.
    """
    if sampling:
        odds = (data.class_counts() ** -sampling)[data.labels[data.originals]]
        return rng.choice(data.originals, data.epoch_size(limit), p=odds / odds.sum())
    originals = rng.permutation(data.originals)[:limit]
    generated = rng.permutation(data.generated)[: limit - len(originals)]
    return rng.permutation(np.concatenate([originals, generated]))


def draw_batches(
    data: TrainingData,
    rows: np.ndarray,
    size: int,
    *,
    batch_size: int,
    distortion: Distortion,
    mixup: float,
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images float32 (b, size, size, 1), 0 to 255, and targets float32 (b, classes), `rows` in the order given.

    What does not fill a last batch is left out. With `mixup` above 0 each batch is blended with itself in another order
    by a weight drawn from Beta(mixup, mixup) (Zhang et al. 2018).
    """
    one_hot = np.eye(data.n_classes, dtype=np.float32)
    for start in range(0, len(rows) - batch_size + 1, batch_size):
        batch = rows[start : start + batch_size]
        images = distort(data.images[batch], distortion, size, rng)[..., None].astype(np.float32)
        targets = one_hot[data.labels[batch]] if data.targets is None else data.targets[batch]
        yield _mix(images, targets, mixup, rng) if mixup else (images, targets)


def _mix(
    images: np.ndarray, targets: np.ndarray, mixup: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each image, and its target, with one other of the batch."""
    weight, other = np.float32(rng.beta(mixup, mixup)), rng.permutation(len(images))
    return weight * images + (1 - weight) * images[other], weight * targets + (1 - weight) * targets[other]
