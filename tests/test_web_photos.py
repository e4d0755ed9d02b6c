"""The threads for photos: each job is counted by itself, and what nobody waits for is not begun."""

import asyncio
import threading
from functools import partial

import pytest

from ferrule.web.limits import RefusalError
from ferrule.web.photos import PhotoPool


def run(steps, capacity=4):
    """Run `steps(pool)` with a pool of one thread."""

    async def main():
        pool = PhotoPool(capacity, object, threads=1)
        try:
            return await steps(pool)
        finally:
            pool.close()

    return asyncio.run(main())


def test_results_come_in_the_order_of_the_jobs_and_each_thread_has_its_detector():
    async def steps(pool):
        first, *others = await pool.run(lambda: pool.detector, lambda: pool.detector, partial(pow, 2, 5))
        assert others == [first, 32]
        assert pool.waiting == 0

    run(steps)


def test_each_job_counts_and_what_would_be_too_much_is_refused_whole():
    begun, hold = [], threading.Event()

    async def steps(pool):
        waiting = asyncio.ensure_future(pool.run(hold.wait, partial(begun.append, 1)))
        await asyncio.sleep(0)
        assert pool.waiting == 2
        with pytest.raises(RefusalError) as refusal:
            await pool.run(*[partial(begun.append, 2)] * 3)
        assert (refusal.value.status_code, pool.waiting) == (503, 2)
        hold.set()
        await waiting
        assert (begun, pool.waiting) == ([1], 0)

    run(steps)


def test_jobs_of_who_has_gone_are_not_begun_and_no_longer_counted():
    begun, hold, running = [], threading.Event(), threading.Event()

    def busy():
        running.set()
        hold.wait()

    async def steps(pool):
        gone = asyncio.ensure_future(pool.run(busy, *[partial(begun.append, 1)] * 3))
        await asyncio.to_thread(running.wait)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        await asyncio.sleep(0)
        assert pool.waiting == 0
        hold.set()
        assert await pool.run(partial(pow, 2, 3)) == [8]
        assert begun == []

    run(steps)


def test_a_failure_is_told_and_stops_nothing():
    async def steps(pool):
        with pytest.raises(ZeroDivisionError):
            await pool.run(partial(divmod, 1, 0))
        assert await pool.run(partial(divmod, 1, 1)) == [(1, 0)]

    run(steps)
