"""Micro-batches: faces of requests that come at the same time go through the model together.

A model takes one face at a time at about half the speed of many. While a batch runs, what arrives waits and makes the
next one, so batches grow with the load by themselves; only a request that finds the model idle waits, a few
milliseconds, for company.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from ferrule.web.limits import refuse_overload

GATHER = 0.003  # seconds
LARGEST = 64  # faces; more at once are no faster

Result = TypeVar("Result")
Work = Callable[[np.ndarray], Sequence[Result]]


@dataclass(frozen=True)
class _Job(Generic[Result]):
    work: Work[Result]
    images: np.ndarray
    arrived: float
    result: asyncio.Future[Sequence[Result]]


class Batcher(Generic[Result]):
    """A bounded queue of images and the one thread that works through it, in order, a batch at a time.

    Images go together only where they wait for equal `work`: the same question to the same model. `observe` is told
    the size of each batch.
    """

    def __init__(
        self,
        capacity: int,
        *,
        largest: int = LARGEST,
        gather: float = GATHER,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._capacity, self._largest, self._gather, self._observe = capacity, largest, gather, observe
        self._jobs: deque[_Job[Result]] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "model")
        self.waiting = 0  # images in the queue

    async def submit(self, work: Work[Result], images: np.ndarray) -> Sequence[Result]:
        """Return `work(images)`: a result for each of images (n, …); raises RefusalError, 503, where too many wait."""
        if self.waiting + len(images) > self._capacity:
            raise refuse_overload("faces waiting for the model", self._capacity)
        loop = asyncio.get_running_loop()
        job = _Job(work, images, loop.time(), loop.create_future())
        self._jobs.append(job)
        self.waiting += len(images)
        self._arrived.set()
        return await job.result

    async def run(self) -> None:
        """Work until cancelled; then those who still wait are told."""
        try:
            while True:
                await self._arrived.wait()
                await self._keep_company()
                await self._carry_out(self._take_batch())
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)
            for job in self._jobs:
                job.result.cancel()

    async def _keep_company(self) -> None:
        """Let others join the oldest request, unless it has waited already."""
        waited = asyncio.get_running_loop().time() - self._jobs[0].arrived
        if self.waiting < self._largest and waited < self._gather:
            await asyncio.sleep(self._gather - waited)

    def _take_batch(self) -> list[_Job[Result]]:
        """Take the oldest job, and those of the same work that fit beside it; leave out those nobody waits for."""
        batch: list[_Job[Result]] = []
        size, others = 0, deque[_Job[Result]]()
        for job in self._jobs:
            if job.result.done():
                self.waiting -= len(job.images)
            elif not batch or (job.work == batch[0].work and size + len(job.images) <= self._largest):
                batch.append(job)
                size += len(job.images)
            else:
                others.append(job)
        self.waiting -= size
        self._jobs = others
        if not others:
            self._arrived.clear()
        return batch

    async def _carry_out(self, batch: list[_Job[Result]]) -> None:
        if not batch:
            return
        images = np.concatenate([job.images for job in batch])
        self._observe(len(images))
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, batch[0].work, images)
        except Exception as error:
            for job in batch:
                _settle(job, error=error)
            return
        start = 0
        for job in batch:
            _settle(job, results[start : start + len(job.images)])
            start += len(job.images)


def _settle(job: _Job[Result], result: Sequence[Result] | None = None, error: Exception | None = None) -> None:
    if job.result.done():  # the request went away meanwhile
        return
    if error is not None:
        job.result.set_exception(error)
    elif result is not None:
        job.result.set_result(result)
