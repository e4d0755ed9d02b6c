"""Threads for what takes long: decoding photos and finding the faces in them, and explaining what was answered."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from ferrule.engine import worker_count
from ferrule.web.limits import refuse_overload

if TYPE_CHECKING:
    from ferrule.faces.detector import FaceDetector

Result = TypeVar("Result")


class Pool:
    """A few threads, before which a bounded number of jobs waits, each a photo, say: `what` names several."""

    def __init__(self, capacity: int, what: str, threads: int | None = None) -> None:
        self._capacity, self._what = capacity, what
        self._threads = ThreadPoolExecutor(threads or worker_count(), what)
        self.waiting = 0  # jobs that wait, or are under way

    async def run(self, *jobs: Callable[[], Result]) -> list[Result]:
        """Return what each job gives on one of the threads; raises RefusalError, 503, where too many would wait.

        What nobody waits for any more is not begun.
        """
        if self.waiting + len(jobs) > self._capacity:
            raise refuse_overload(f"{self._what} waiting", self._capacity)
        self.waiting += len(jobs)
        under_way = [asyncio.wrap_future(self._threads.submit(job)) for job in jobs]
        for each in under_way:
            each.add_done_callback(self._count_out)
        return await asyncio.gather(*under_way)

    def close(self) -> None:
        """Let the threads end; what waits is not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _count_out(self, done: asyncio.Future[Result]) -> None:
        self.waiting -= 1


class PhotoPool(Pool):
    """Threads for photos, each with a detector of its own: a network of OpenCV must not be used by two at once."""

    def __init__(self, capacity: int, make_detector: "Callable[[], FaceDetector]", threads: int | None = None) -> None:
        super().__init__(capacity, "photos", threads)
        self._make = make_detector
        self._own = threading.local()

    @property
    def detector(self) -> "FaceDetector":
        """The detector of the thread that asks."""
        if not hasattr(self._own, "detector"):
            self._own.detector = self._make()
        return self._own.detector
