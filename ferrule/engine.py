"""Map a pure function over chunks of images: on threads or processes here, or on a Dask cluster.

Results come back in the order of the chunks, so nothing depends on the number of workers.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from ferrule.errors import ParameterError

Item = TypeVar("Item")
Result = TypeVar("Result")


def worker_count() -> int:
    """Return FERRULE_WORKERS, or the number of cores that this process may use."""
    # Only Linux tells which cores this process may use (a container's share, say).
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = os.environ.get("FERRULE_WORKERS", "0")
    if not asked.isdecimal():
        raise ParameterError(f"Expected a number in FERRULE_WORKERS; got {asked!r}; set it to the number of workers.")
    return int(asked) or usable or 1


@contextmanager
def open_executor(kind: str = "thread", workers: int | None = None) -> Iterator[Executor]:
    """Give an executor: "thread", "process", or the address of a Dask scheduler ("tcp://host:8786").

    FERRULE_DASK, where set, is the address used whatever `kind` says.
    """
    kind = os.environ.get("FERRULE_DASK", kind)
    if "://" in kind:
        from distributed import Client  # the dask extra

        with Client(kind) as client:
            yield client.get_executor()
    elif kind == "process":
        # Forking a process that has threads (OpenCV, Arrow) can hang; a fresh interpreter cannot.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers or worker_count(), mp_context=context) as executor:
            yield executor
    else:
        with ThreadPoolExecutor(workers or worker_count()) as executor:
            yield executor


def map_chunks(
    function: Callable[[Item], Result], chunks: Iterable[Item], executor: Executor, ahead: int | None = None
) -> Iterator[Result]:
    """Yield `function(chunk)` for each chunk, in order, with at most `ahead` chunks under way: memory stays bounded."""
    limit = ahead or 2 * worker_count()
    pending: deque[Future[Result]] = deque()
    for chunk in chunks:
        pending.append(executor.submit(function, chunk))
        if len(pending) >= limit:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
