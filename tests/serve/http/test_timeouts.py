"""Deadlines: what is not done in time is given up, told with 504, and leaves the service free."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serve.http.api import create_api
from serve.http.checks import Limits
from serve.http.timeouts import stream_with_timeout, timeout, with_timeout
from serve.problems import Problem
from tests.serve.http.test_api import PNGS, require_problem


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 110),
        ("wait=30", 30),
        ('respond-async, wait="5"', 5),
        ("WAIT = 7; x", 7),
        ("wait=500", 110),
        ("wait=soon", 110),
        ("await=3", 110),
    ],
)
def test_a_client_may_be_less_patient_than_the_service(prefer: str | None, seconds: float) -> None:
    assert timeout(prefer, 110) == seconds


def test_work_that_is_late_is_cancelled() -> None:
    ended: list[str] = []

    async def work() -> int:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("work")
        return 1

    with pytest.raises(Problem, match=r"not done within 0\.05 s; .*POST /v1/jobs"):
        asyncio.run(with_timeout(0.05, work()))
    assert ended == ["work"]
    assert asyncio.run(with_timeout(30, asyncio.sleep(0, 3))) == 3


def test_what_is_told_in_time_is_told() -> None:
    ended: list[str] = []

    async def items(pause: float) -> AsyncIterator[int]:
        try:
            for number in range(4):
                yield number
                await asyncio.sleep(pause)
        finally:
            ended.append("items")

    async def take(seconds: float, pause: float) -> None:
        async for item in stream_with_timeout(seconds, items(pause)):
            found.append(item)

    found: list[int] = []
    asyncio.run(take(30, 0))
    assert found == [0, 1, 2, 3]
    with pytest.raises(Problem, match=r"not done within 0\.25 s"):
        asyncio.run(take(0.25, 0.1))
    assert found[4:] == [0, 1, 2]
    assert ended == ["items", "items"]


def test_the_api_answers_504(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*_: Any) -> None:
        await asyncio.sleep(30)

    async def told(*_: Any) -> AsyncIterator[None]:
        await asyncio.sleep(30)
        yield None

    monkeypatch.setattr(service, "generate", slow)
    monkeypatch.setattr(service, "encode", slow)
    monkeypatch.setattr(service, "follow", told)
    client = TestClient(create_api(service, Limits(max_seconds=0.1)))
    files = {"source": ("s.png", PNGS["source"])}
    for path in ("reconstruct", "encode"):
        require_problem(client.post(f"/v1/{path}", files=files), 504, "0.1 s")
    stream = client.post("/v1/reconstruct", files=files, headers={"Accept": "text/event-stream"})
    require_problem(stream, 504, "0.1 s")
