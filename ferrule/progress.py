"""How a training shows itself: one line an epoch, and on a terminal a bar with the time left below them."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm


class Progress:
    """Counts work, in any unit proportional to time, towards `total`; `done` of it was done before.

    Everything goes to `stream`, by default the standard output.
    """

    def __init__(self, epochs: int, total: float, done: float = 0.0, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.epochs = epochs
        self.total = total
        self.before = self.done = done
        self.started = time.monotonic()
        self.bar = tqdm(
            total=total,
            initial=done,
            file=self.stream,
            disable=not self.stream.isatty(),
            bar_format="training {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left",
            leave=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.close()

    def advance(self, work: float) -> None:
        """Count `work` as done."""
        self.done += work
        self.bar.update(work)

    def seconds_left(self) -> float:
        """Estimate the time to the end from the pace so far; infinite before there is any."""
        pace = (self.done - self.before) / max(time.monotonic() - self.started, 1e-9)
        return (self.total - self.done) / pace if pace else float("inf")

    def tell(self, epoch: int, metrics: dict[str, float]) -> None:
        """Write how `epoch` (from 1) went."""
        minutes, seconds = divmod(round(self.seconds_left()), 60)
        line = (
            f"epoch {epoch}/{self.epochs}: loss {metrics['loss']:.3f}, accuracy {metrics['accuracy']:.1%}, "
            f"val accuracy {metrics['val_accuracy']:.1%}, {metrics['images_per_second']:.0f} images/s, "
            f"{minutes}:{seconds:02d} left"
        )
        self.bar.clear()
        print(line, file=self.stream, flush=True)
        self.bar.refresh()
