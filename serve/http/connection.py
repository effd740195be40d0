"""Work for a client that may disconnect: it is cancelled with the connection."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import anyio
from starlette.types import Receive

from serve.problems import Problem

CLEANUP_SECONDS = 5
T = TypeVar("T")


async def cancel_on_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of the work; when the client disconnects before that, cancel the work.

    Call it when the request has been read. Raises Problem 499, which nobody will read.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(until_disconnect(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Problem(499, "Client gone", "the client closed the connection before the answer was there")
        return task.result()
    finally:
        await end(task, gone)


async def until_disconnect(receive: Receive) -> None:
    """Wait until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def end(*tasks: asyncio.Task[Any], items: AsyncIterator[Any] | None = None) -> None:
    """Cancel tasks and wait for their end, then close a generator, even if the caller has itself been cancelled."""
    for task in tasks:
        task.cancel()
    with anyio.move_on_after(CLEANUP_SECONDS, shield=True):
        await asyncio.gather(*tasks, return_exceptions=True)
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
