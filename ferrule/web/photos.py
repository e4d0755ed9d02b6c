"""Threads that decode photos and find the faces in them, each with a detector of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ferrule.engine import worker_count
from ferrule.web.limits import refuse_overload

if TYPE_CHECKING:
    from ferrule.faces.detector import FaceDetector

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class PhotoPool:
    """A few threads, before which a bounded number of photos waits."""

    def __init__(self, capacity: int, make_detector: "Callable[[], FaceDetector]", threads: int | None = None) -> None:
        self._capacity, self._make = capacity, make_detector
        self._threads = ThreadPoolExecutor(threads or worker_count(), "photos")
        self._own = threading.local()
        self.waiting = 0  # photos that wait, or are looked at

    @property
    def detector(self) -> "FaceDetector":
        """The detector of the thread that asks; a network of OpenCV must not be used by two at once."""
        if not hasattr(self._own, "detector"):
            self._own.detector = self._make()
        return self._own.detector

    async def run(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Return what the function gives on one of the threads; raises RefusalError, 503, where too many wait.

        What nobody waits for any more is not begun.
        """
        if self.waiting >= self._capacity:
            raise refuse_overload("photos waiting", self._capacity)
        self.waiting += 1
        try:
            return await asyncio.wrap_future(self._threads.submit(function, *args, **kwargs))
        finally:
            self.waiting -= 1

    def close(self) -> None:
        """Let the threads end; what waits is not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)
