"""Calls to replicas that die, are full or absent; the replicas are scripts, the rules are the real ones."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError

from serve.models.calls import answer, stream
from serve.problems import Problem


class Response:
    """What a handle returns: awaitable, and it can be cancelled."""

    def __init__(self, outcome: Any) -> None:
        self.outcome, self.is_cancelled = outcome, False

    def __await__(self) -> Iterator[Any]:
        return self._await().__await__()

    async def _await(self) -> Any:
        if isinstance(self.outcome, float):
            await asyncio.sleep(self.outcome)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self.outcome:
            if isinstance(item, Exception):
                raise item
            yield item

    def cancel(self) -> None:
        self.is_cancelled = True


def calling(*outcomes: Any) -> tuple[Callable[[], Any], list[Response]]:
    responses = [Response(outcome) for outcome in outcomes]
    remaining = iter(responses)
    return lambda: next(remaining), responses


def test_a_dead_replica_is_replaced_once() -> None:
    died = ActorDiedError()
    assert asyncio.run(answer(calling(died, "done")[0])) == "done"
    with pytest.raises(Problem, match="no replica") as caught:
        asyncio.run(answer(calling(died, died, "done")[0]))
    assert caught.value.details.status == 503


def test_a_full_queue_is_a_503_with_a_time_to_wait() -> None:
    full = BackPressureError(num_queued_requests=64, max_queued_requests=64)
    with pytest.raises(Problem, match="too many requests") as caught:
        asyncio.run(answer(calling(full)[0]))
    assert (caught.value.details.status, caught.value.headers) == (503, {"Retry-After": "2"})


def test_cancelling_cancels_the_call() -> None:
    call, responses = calling(30.0)

    async def use() -> None:
        task = asyncio.create_task(answer(call))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(use())
    assert responses[0].is_cancelled


def test_a_stream_whose_replica_dies_begins_anew_with_another() -> None:
    call, _ = calling([1, 2, ActorDiedError()], [1, 2, 3])

    async def use() -> list[int]:
        return [item async for item in stream(call)]

    assert asyncio.run(use()) == [1, 2, 1, 2, 3]


def test_closing_a_stream_cancels_the_call() -> None:
    call, responses = calling([1, 2, 3])

    async def use() -> None:
        items = stream(call)
        assert await anext(items) == 1
        await items.aclose()  # type: ignore[attr-defined]

    asyncio.run(use())
    assert responses[0].is_cancelled
