"""Work that takes too long, or that nobody waits for, is ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from rayml.serve.http import deadline
from rayml.serve.http.body import ClientGoneError, Message
from rayml.serve.http.deadline import Deadline

FOREVER_S = 60.0


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "AFTER_S", 0.01)


class Client:
    """Says what ASGI's `receive` says after a body: nothing, until it leaves."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.leaves = asyncio.Event()

    async def receive(self) -> Message:
        self.asked.set()
        await self.leaves.wait()
        return {"type": "http.disconnect"}


def run(main: Callable[[Client], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        result = await main(Client())
        # What watched has ended with what it watched.
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(go())


def test_what_is_done_in_time_is_left_alone() -> None:
    async def main(client: Client) -> int:
        with Deadline(FOREVER_S, client.receive, lambda: True):
            await client.asked.wait()
            return 3

    assert run(main) == 3


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("limit_s", [0.001, 0.03])
def test_what_takes_too_long_is_ended(read: bool, limit_s: float) -> None:
    async def main(client: Client) -> None:
        with Deadline(limit_s, client.receive, lambda: read):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(main)


def test_work_ends_when_its_client_leaves() -> None:
    async def main(client: Client) -> None:
        with Deadline(FOREVER_S, client.receive, lambda: True):
            await client.asked.wait()
            client.leaves.set()
            await asyncio.Event().wait()

    with pytest.raises(ClientGoneError):
        run(main)


async def rests_of_a_body() -> AsyncIterator[Message]:
    yield {"type": "http.request", "body": b"x"}
    yield {"type": "http.disconnect"}


async def a_failing_transport() -> AsyncIterator[Message]:
    raise ConnectionError
    yield {}


@pytest.mark.parametrize("said", [rests_of_a_body, a_failing_transport])
def test_whatever_is_said_a_client_that_left_has_left(
    said: Callable[[], AsyncIterator[Message]],
) -> None:
    async def main(_: Client) -> None:
        messages = said()
        with Deadline(FOREVER_S, lambda: anext(messages), lambda: True):
            await asyncio.Event().wait()

    with pytest.raises(ClientGoneError):
        run(main)


def test_nobody_else_reads_before_the_body_is_through() -> None:
    read = False
    asked: list[bool] = []

    async def main(client: Client) -> None:
        nonlocal read

        def is_read() -> bool:
            asked.append(read)
            return read

        with Deadline(FOREVER_S, client.receive, is_read):
            while len(asked) < 3:
                assert not client.asked.is_set()
                await asyncio.sleep(0.001)
            read = True
            await client.asked.wait()

    run(main)
    assert asked == [False, False, False, True]


def test_a_cancellation_from_elsewhere_passes_through() -> None:
    async def main(client: Client) -> None:
        async def work() -> None:
            with Deadline(FOREVER_S, client.receive, lambda: True):
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await client.asked.wait()
        # Both at once: who ends the task from without is told so.
        client.leaves.set()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(main)


def test_an_error_of_the_work_stays_what_it_is() -> None:
    async def main(client: Client) -> None:
        with Deadline(FOREVER_S, client.receive, lambda: True):
            await client.asked.wait()
            raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        run(main)


def test_the_task_goes_on_after_its_work_was_ended() -> None:
    async def main(client: Client) -> int:
        with pytest.raises(TimeoutError), Deadline(0.001, client.receive, lambda: True):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert run(main) == 0


def test_blocks_within_one_another_end_by_their_own_reasons() -> None:
    async def main(client: Client) -> str:
        with Deadline(FOREVER_S, client.receive, lambda: True):
            try:
                with Deadline(0.001, client.receive, lambda: False):
                    await asyncio.Event().wait()
            except TimeoutError:
                return "the inner one"
        return "neither"

    assert run(main) == "the inner one"
