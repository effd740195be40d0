"""Calls to replicas: one that dies is replaced by another, a full queue and an absent model become problems."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayActorError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError
from ray.serve.handle import DeploymentResponse, DeploymentResponseGenerator

from serve.problems import Problem

logger = logging.getLogger(__name__)
# Handles say of every call that it may answer or stream; which one it does is the method's matter.
Call = Callable[[], DeploymentResponse[Any] | DeploymentResponseGenerator[Any]]
FULL_SECONDS, ABSENT_SECONDS = 2, 5  # after which a client should come back


async def answer(call: Call) -> Any:
    """Await a replica's answer; if the replica dies another is asked, once, for tasks have no side effects.

    Cancelling this cancels the call in the replica.
    """
    with explained():
        try:
            return await _cancellable(call())
        except RayActorError:
            logger.warning("a replica died during a request; asking another")
            return await _cancellable(call())


async def stream(call: Call) -> AsyncIterator[Any]:
    """Yield what a replica yields; if it dies another begins anew, once. Closing this cancels the call."""
    with explained():
        try:
            async for item in _closing(call()):
                yield item
        except RayActorError:
            logger.warning("a replica died during a stream; asking another")
            async for item in _closing(call()):
                yield item


@contextmanager
def explained() -> Iterator[None]:
    """Turn what Ray says of replicas into problems."""
    try:
        yield
    except BackPressureError as error:
        detail = "too many requests are waiting; try again in a few seconds"
        raise Problem(503, "Overloaded", detail, {"Retry-After": str(FULL_SECONDS)}) from error
    except (RayActorError, DeploymentUnavailableError) as error:
        detail = "no replica of the model answers; try again in a few seconds"
        raise Problem(503, "Model not available", detail, {"Retry-After": str(ABSENT_SECONDS)}) from error
    except (RequestCancelledError, TaskCancelledError) as error:
        raise asyncio.CancelledError from error


async def _cancellable(response: Any) -> Any:
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise


async def _closing(items: Any) -> AsyncIterator[Any]:
    try:
        async for item in items:
            yield item
    finally:
        items.cancel()
