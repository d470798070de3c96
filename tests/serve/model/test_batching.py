"""The batcher joins what waits, gives each its own, and keeps long work off the loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rayml.serve.model.batching import MicroBatcher, loop_rows
from rayml.serve.model.histogram import Histogram


class Doubler:
    """Doubles numbers, and remembers its batches and their threads."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[int] = []

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.threads.append(threading.get_ident())
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


def batcher(
    run: Doubler, *, max_requests: int = 64, wait_s: float = 0.0, max_loop_items: int = 100
) -> MicroBatcher[int, int]:
    return MicroBatcher(
        run, max_requests=max_requests, wait_s=wait_s, max_loop_items=max_loop_items
    )


def test_requests_of_one_moment_share_a_batch() -> None:
    run = Doubler()

    async def main() -> list[object]:
        batches = batcher(run)
        return list(await asyncio.gather(*(batches.submit([n, n + 1]) for n in range(5))))

    assert asyncio.run(main()) == [[2 * n, 2 * n + 2] for n in range(5)]
    assert len(run.batches) == 1
    assert run.threads == [threading.get_ident()]


def test_it_counts_batches_by_their_items() -> None:
    sizes = Histogram((1, 4, 8))

    async def main() -> None:
        batches = MicroBatcher(
            Doubler(), max_requests=64, wait_s=0.0, max_loop_items=4, sizes=sizes
        )
        await asyncio.gather(batches.submit([1, 2, 3]), batches.submit([4]))
        # This one runs in the thread.
        await batches.submit([5] * 7)

    asyncio.run(main())
    assert (sizes.sum, sizes.counts) == (11, [0, 1, 1, 0])


def test_it_counts_those_that_wait() -> None:
    async def main() -> list[int]:
        batches = batcher(Doubler())
        asked = [asyncio.ensure_future(batches.submit([n])) for n in (1, 13, 3)]
        counts = [batches.waiting]
        await asyncio.sleep(0)
        counts.append(batches.waiting)
        await asyncio.gather(*asked, return_exceptions=True)
        return [*counts, batches.waiting]

    assert asyncio.run(main()) == [0, 3, 0]


def test_a_batch_has_at_most_so_many_requests() -> None:
    run = Doubler()

    async def main() -> None:
        batches = batcher(run, max_requests=2)
        await asyncio.gather(*(batches.submit([n]) for n in range(5)))

    asyncio.run(main())
    assert run.batches == [[0, 1], [2, 3], [4]]


def test_a_request_waits_for_others_if_asked() -> None:
    run = Doubler()

    async def main() -> None:
        batches = batcher(run, max_requests=2, wait_s=60)
        first = asyncio.create_task(batches.submit([1]))
        await asyncio.sleep(0)
        assert run.batches == []
        await asyncio.gather(first, batches.submit([2]))

    asyncio.run(main())
    assert run.batches == [[1, 2]]


def test_a_large_batch_leaves_the_loop_free() -> None:
    entered, release = threading.Event(), threading.Event()

    def run(items: list[int]) -> list[int]:
        entered.set()
        assert release.wait(30)
        return items

    async def main() -> None:
        batches = MicroBatcher[int, int](run, max_requests=8, wait_s=0, max_loop_items=2)
        large = asyncio.create_task(batches.submit([1, 2, 3]))
        # Were it run on the loop, this line would never be reached.
        assert await asyncio.to_thread(entered.wait, 30)
        release.set()
        assert await large == [1, 2, 3]
        batches.close()

    asyncio.run(main())


@pytest.mark.parametrize("max_loop_items", [0, 100])
def test_a_failure_belongs_to_its_own_request(max_loop_items: int) -> None:
    run = Doubler()

    async def main() -> list[object]:
        batches = batcher(run, max_loop_items=max_loop_items)
        results = await asyncio.gather(
            *(batches.submit([n]) for n in (12, 13, 14)), return_exceptions=True
        )
        batches.close()
        return list(results)

    first, second, third = asyncio.run(main())
    assert (first, third) == ([24], [28])
    assert isinstance(second, ValueError)


def test_a_request_that_nobody_waits_for_is_not_run() -> None:
    run = Doubler()

    async def main() -> None:
        batches = batcher(run)
        gone = asyncio.create_task(batches.submit([1]))
        await asyncio.sleep(0)
        gone.cancel()
        assert await batches.submit([2]) == [4]

    asyncio.run(main())
    assert [2] in run.batches
    assert all(1 not in batch for batch in run.batches)


def test_one_that_left_fills_no_batch() -> None:
    """Those who come next wait for one another as if it had not been."""
    run = Doubler()

    async def main() -> list[object]:
        batches = batcher(run, max_requests=2, wait_s=3600)
        for _ in range(3):
            gone = asyncio.create_task(batches.submit([1]))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        assert batches._timer is None
        return list(await asyncio.gather(batches.submit([2]), batches.submit([3])))

    assert asyncio.run(main()) == [[4], [6]]
    assert run.batches == [[2, 3]]


def test_one_that_leaves_others_waiting_ends_nothing() -> None:
    run = Doubler()

    async def main() -> object:
        batches = batcher(run, wait_s=0.01)
        stays = asyncio.create_task(batches.submit([2]))
        gone = asyncio.create_task(batches.submit([1]))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(main()) == [4]
    assert run.batches == [[2]]


def test_slow_work_is_never_run_on_the_loop() -> None:
    ticks = iter(range(1000))

    def slow(items: list[int]) -> None:
        # Measured on a clock that this test turns: a second a batch.
        next(ticks)

    clock = iter(float(second) for second in range(1000))
    assert loop_rows(slow, 1, clock=lambda: next(clock)) == 0
    fast = iter(float(second) * 1e-4 for second in range(1000))
    assert loop_rows(slow, 1, rows=10, clock=lambda: next(fast)) == pytest.approx(500, abs=1)


class Gated(Doubler):
    """A doubler whose batches that have a 7 wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, items: list[int]) -> list[int]:
        if 7 in items:
            self.entered.set()
            self.go_on.wait()
        return super().__call__(items)


def test_those_who_come_while_the_thread_is_busy_are_its_next_batches() -> None:
    run = Gated()

    async def main() -> list[object]:
        batches = batcher(run, max_requests=4, max_loop_items=0)
        first = asyncio.create_task(batches.submit([7]))
        await asyncio.to_thread(run.entered.wait)
        rest = []
        for number in range(6):
            rest.append(asyncio.create_task(batches.submit([number])))
            await asyncio.sleep(0)
        run.go_on.set()
        return list(await asyncio.gather(first, *rest))

    assert asyncio.run(main()) == [[14], [0], [2], [4], [6], [8], [10]]
    assert run.batches == [[7], [0, 1, 2, 3], [4, 5]]


def test_small_requests_do_not_wait_for_the_thread() -> None:
    run = Gated()

    async def main() -> None:
        batches = batcher(run, max_loop_items=2)
        large = asyncio.create_task(batches.submit([7, 7, 7]))
        await asyncio.to_thread(run.entered.wait)
        other = asyncio.create_task(batches.submit([1, 1, 1]))
        assert await batches.submit([5]) == [10]
        assert not large.done()
        run.go_on.set()
        assert [await large, await other] == [[14] * 3, [2] * 3]

    asyncio.run(main())
    assert run.batches == [[5], [7, 7, 7], [1, 1, 1]]
