"""Timeouts of requests whose client waits: the service's limit, or less if the client says `Prefer: wait=N`.

Work that is not done by then is cancelled in the model too, and answered with 504. A job has no timeout.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

from serve.http.connection import end
from serve.problems import Problem

T = TypeVar("T")
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?=$|[,;\s])", re.IGNORECASE)


def timeout(prefer: str | None, limit: float) -> float:
    """Return the timeout of a request in seconds; a Prefer header (RFC 7240) can only shorten it."""
    asked = WAIT.search(prefer or "")
    return min(float(asked[1]), limit) if asked else limit


async def with_timeout(seconds: float, work: Awaitable[T]) -> T:
    """Return the result of the work; cancel it and raise Problem 504 when it is not done in time."""
    async with _deadline(seconds):
        return await work


async def stream_with_timeout(seconds: float, items: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield items until the timeout, then raise Problem 504 if there are more. Closes the items."""
    began = time.monotonic()
    try:
        while True:
            async with _deadline(began + seconds - time.monotonic(), of=seconds):
                item = await anext(items, None)
            if item is None:
                return
            yield item
    finally:
        await end(items=items)


@asynccontextmanager
async def _deadline(seconds: float, of: float | None = None) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        remedy = "ask for fewer steps or pictures, or have it done as a job: POST /v1/jobs"
        raise Problem(504, "Deadline passed", f"not done within {of or seconds:g} s; {remedy}") from None
