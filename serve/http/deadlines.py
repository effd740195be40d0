"""How long a request may take while its client waits: the service's limit, or less if the client says `Prefer: wait=N`.

What is not done by then is given up in the model too, and answered with 504; a job may take as long as it needs.
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


def patience(prefer: str | None, limit: float) -> float:
    """Return how many seconds a request may take; a Prefer header (RFC 7240) can only shorten them."""
    asked = WAIT.search(prefer or "")
    return min(float(asked[1]), limit) if asked else limit


async def done_within(seconds: float, work: Awaitable[T]) -> T:
    """Return what the work returns; Problem 504, and the work is cancelled, if it is not done by then."""
    async with _deadline(seconds):
        return await work


async def told_within(seconds: float, items: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield items until the deadline; Problem 504 if there are more by then. Closes the items."""
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
