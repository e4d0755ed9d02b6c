"""How a training shows itself: a bar with the time left on a terminal, one line an epoch anywhere else."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm


class Progress:
    """Counts work (any unit proportional to time) towards `total`, of which `done` was done before.

    Lines go to `stream` (default: standard output); it gets a bar instead where it is a terminal.
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
            bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed} passed, {remaining} left{postfix}",
            desc="training",
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
        """Estimate the time to the end from the pace so far; nan before there is any."""
        pace = (self.done - self.before) / max(time.monotonic() - self.started, 1e-9)
        return (self.total - self.done) / pace if pace else float("nan")

    def tell(self, epoch: int, metrics: dict[str, float]) -> None:
        """Show how `epoch` (from 1) went."""
        line = (
            f"epoch {epoch}/{self.epochs}: loss {metrics['loss']:.3f}, accuracy {metrics['accuracy']:.1%}, "
            f"val accuracy {metrics['val_accuracy']:.1%}, {metrics['images_per_second']:.0f} images/s"
        )
        if self.bar.disable:
            print(f"{line}, {_clock(self.seconds_left())} left", file=self.stream, flush=True)
        else:
            self.bar.set_postfix_str(line)


def _clock(seconds: float) -> str:
    """Return seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
