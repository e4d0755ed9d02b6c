"""Micro-batches: faces that come together go through the model together, and the queue has an end."""

import asyncio

import numpy as np
import pytest

from ferrule.web.batching import Batcher
from ferrule.web.limits import RefusalError


class Doubler:
    """A model that doubles its images, keeps the sizes it was given, and can be held up."""

    def __init__(self):
        self.sizes = []

    def work(self, images):
        self.sizes.append(len(images))
        return images * 2

    def fail(self, images):
        raise RuntimeError("broken")


def images(*values):
    return np.array(values).reshape(-1, 1, 1)


def run(steps, **settings):
    """Run `steps(batcher)` beside a batcher that works."""

    async def main():
        batcher = Batcher(**{"capacity": 100, **settings})
        worker = asyncio.create_task(batcher.run())
        try:
            return await steps(batcher)
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    return asyncio.run(main())


def test_requests_that_come_together_are_one_batch_and_each_gets_its_own():
    model, observed = Doubler(), []

    async def steps(batcher):
        return await asyncio.gather(*(batcher.submit(model.work, images(number)) for number in range(20)))

    results = run(steps, observe=observed.append)
    assert [result.item() for result in results] == [2 * number for number in range(20)]
    assert model.sizes == observed == [20]


def test_a_batch_ends_at_the_largest_size_but_never_parts_a_request():
    model = Doubler()

    async def steps(batcher):
        return await asyncio.gather(*(batcher.submit(model.work, images(*range(3))) for _ in range(5)))

    run(steps, largest=7)
    assert model.sizes == [6, 6, 3]
    model.sizes.clear()
    run(lambda batcher: batcher.submit(model.work, images(*range(30))), largest=7)
    assert model.sizes == [30]


def test_images_of_two_models_never_share_a_batch():
    old, new = Doubler(), Doubler()

    async def steps(batcher):
        works = [old.work, old.work, new.work, old.work]
        return await asyncio.gather(*(batcher.submit(work, images(1)) for work in works))

    run(steps)
    assert (old.sizes, new.sizes) == ([3], [1])


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again():
    async def steps(batcher):
        waiting = asyncio.ensure_future(batcher.submit(Doubler().work, images(1, 2, 3)))
        await asyncio.sleep(0)
        with pytest.raises(RefusalError) as refusal:
            await batcher.submit(Doubler().work, images(4))
        assert (refusal.value.status_code, refusal.value.headers) == (503, {"Retry-After": "1"})
        await waiting
        assert batcher.waiting == 0
        return await batcher.submit(Doubler().work, images(4))  # there is room again

    assert run(steps, capacity=3).item() == 8


def test_a_failure_is_told_to_those_of_the_batch_and_stops_nothing():
    model = Doubler()

    async def steps(batcher):
        results = await asyncio.gather(
            *(batcher.submit(model.fail, images(1)) for _ in range(2)), return_exceptions=True
        )
        assert [type(result) for result in results] == [RuntimeError, RuntimeError]
        return await batcher.submit(model.work, images(21))

    assert run(steps).item() == 42


def test_who_has_gone_is_not_worked_for():
    model = Doubler()

    async def steps(batcher):
        gone = asyncio.ensure_future(batcher.submit(model.work, images(1)))
        await asyncio.sleep(0)
        gone.cancel()
        return await batcher.submit(model.work, images(2, 3))

    run(steps)
    assert model.sizes == [2]


def test_who_still_waits_when_it_stops_is_told():
    async def main():
        batcher = Batcher(10, gather=60)
        worker = asyncio.create_task(batcher.run())
        waiting = asyncio.ensure_future(batcher.submit(Doubler().work, images(1)))
        await asyncio.sleep(0.01)
        worker.cancel()
        results = await asyncio.gather(worker, waiting, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)

    asyncio.run(main())
