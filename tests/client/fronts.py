"""Both clients behind one face, so that every test of the one is a test of the other."""

import asyncio
from collections.abc import Callable
from typing import Any

from diffusegae.client import AsyncClient, Client


class SyncFront:
    """Opens a `Client`, asks, closes it; pauses between attempts take no time and are written down."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def ask(self, address: str, question: Callable[[Any], Any], **settings: Any) -> Any:
        with Client(address, sleep=self.pauses.append, **settings) as client:
            return question(client)

    def follow(self, address: str, question: Callable[[Any], Any], **settings: Any) -> list[Any]:
        with Client(address, sleep=self.pauses.append, **settings) as client:
            return list(question(client))


class AsyncFront:
    """The same with an `AsyncClient` in an event loop of its own."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def ask(self, address: str, question: Callable[[Any], Any], **settings: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(address, sleep=self._pause, **settings) as client:
                return await question(client)

        return asyncio.run(run())

    def follow(self, address: str, question: Callable[[Any], Any], **settings: Any) -> list[Any]:
        async def run() -> list[Any]:
            async with AsyncClient(address, sleep=self._pause, **settings) as client:
                return [event async for event in question(client)]

        return asyncio.run(run())


Front = SyncFront | AsyncFront
