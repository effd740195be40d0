import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from diffusegae.images import decode_image, encode_image
from serve.http import events
from serve.http.events import EventStream
from serve.problems import Problem
from serve.tasks import GeneratedImages, Presentation, SamplingProgress

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
GENERATED = GeneratedImages(PICTURES, "diffusegae/7")
SOURCE = base64.b64encode(encode_image(np.zeros((32, 32, 3), np.uint8))).decode()
STREAM = {"Accept": "text/event-stream"}


def parsed(text: str) -> list[tuple[str, Any]]:
    """Read events as the standard has it; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith(":")]
        if lines:
            (name, data) = lines
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


class Connection:
    """An ASGI connection whose client leaves when it is told to."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.left = asyncio.Event()
        self.on_send: Callable[[Any], None] = lambda message: None

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        self.on_send(message)

    @property
    def body(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


class Told:
    """An iterator over given items; exceptions are raised, numbers waited for. Knows whether it was closed."""

    def __init__(self, *items: Any) -> None:
        self.items, self.ended = items, False

    async def __call__(self) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        try:
            for item in self.items:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, float):
                    await asyncio.sleep(item)
                else:
                    yield item
        finally:
            self.ended = True


async def sent(told: Told, **options: Any) -> Connection:
    connection = Connection()
    await EventStream(told(), Presentation(), **options)({"type": "http"}, connection.receive, connection.send)
    assert told.ended
    return connection


def test_tells_the_steps_then_the_pictures() -> None:
    connection = asyncio.run(
        sent(Told(SamplingProgress(1, 3, None), SamplingProgress(2, 3, PICTURES[:1]), GENERATED), model="m/1")
    )
    (started, *_, last) = connection.sent
    headers = dict(started["headers"])
    assert started["status"] == 200
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert (headers[b"cache-control"], headers[b"x-accel-buffering"]) == (b"no-store", b"no")
    assert headers[b"x-model"] == b"m/1"
    assert last["more_body"] is False
    (first, second, done) = parsed(connection.body)
    assert first == ("progress", {"step": 1, "steps": 3, "images": []})
    assert second[1]["step"] == 2
    assert (decode_image(base64.b64decode(second[1]["images"][0])) == PICTURES[0]).all()
    assert done[0] == "done"
    assert (done[1]["model"], done[1]["format"]) == ("diffusegae/7", "png")
    for text, pixels in zip(done[1]["images"], PICTURES, strict=True):
        assert (decode_image(base64.b64decode(text)) == pixels).all()


def test_an_early_problem_is_the_answer_itself_unless_it_may_not_be() -> None:
    problem = Problem(503, "Overloaded", "wait", {"Retry-After": "2"})
    with pytest.raises(Problem, match="wait"):
        asyncio.run(sent(Told(problem)))
    connection = asyncio.run(sent(Told(problem), has_own_status=False))
    assert parsed(connection.body) == [("problem", problem.details.model_dump())]


def test_a_late_problem_is_an_event(caplog: pytest.LogCaptureFixture) -> None:
    problem = Problem(503, "Overloaded", "wait")
    connection = asyncio.run(sent(Told(SamplingProgress(0, 3, None), problem)))
    assert parsed(connection.body)[1] == ("problem", problem.details.model_dump())
    connection = asyncio.run(sent(Told(SamplingProgress(0, 3, None), RuntimeError("secret"))))
    (_, (name, details)) = parsed(connection.body)
    assert (name, details["status"], details["type"]) == ("problem", 500, "/problems/internal-error")
    assert "secret" not in connection.body + caplog.text


def test_a_stream_without_pictures_is_a_failure_of_ours() -> None:
    connection = asyncio.run(sent(Told(SamplingProgress(0, 3, None))))
    assert [name for name, _ in parsed(connection.body)] == ["progress", "problem"]


def test_something_moves_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PROBLEM_SECONDS", 0.01)
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.01)
    connection = asyncio.run(sent(Told(0.2, GENERATED)))
    assert connection.body.count(": waiting\n\n") >= 2
    assert [name for name, _ in parsed(connection.body)] == ["done"]


@pytest.mark.parametrize("has_begun", [True, False])
def test_closes_the_iterator_when_the_client_leaves(has_begun: bool) -> None:
    async def use() -> None:
        told, connection = Told(*[SamplingProgress(0, 3, None)] * has_begun, 60.0, GENERATED), Connection()
        connection.on_send = lambda message: connection.left.set()
        if not has_begun:
            asyncio.get_running_loop().call_later(0.05, connection.left.set)
        stream = EventStream(told(), Presentation())
        await asyncio.wait_for(stream({"type": "http"}, connection.receive, connection.send), 20)
        assert told.ended

    asyncio.run(use())


def test_closes_the_iterator_when_it_is_cancelled_or_cannot_send() -> None:
    async def use() -> None:
        told, connection = Told(SamplingProgress(0, 3, None), 60.0, GENERATED), Connection()
        stream = EventStream(told(), Presentation())
        answering = asyncio.create_task(stream({"type": "http"}, connection.receive, connection.send))
        connection.on_send = lambda message: answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert told.ended

        def fail(message: Any) -> None:
            raise OSError("broken pipe")

        told, connection.on_send = Told(SamplingProgress(0, 3, None), 60.0, GENERATED), fail
        with pytest.raises(OSError, match="broken pipe"):
            await EventStream(told(), Presentation())({"type": "http"}, connection.receive, connection.send)
        assert told.ended

    asyncio.run(use())


def test_an_operation_is_followed(client: TestClient, service: Any) -> None:
    body = {"source": SOURCE, "target": SOURCE, "frames": 3, "size": 20, "format": "webp"}
    response = client.post("/v1/interpolate", json=body, headers=STREAM)
    found = parsed(response.text)
    assert [name for name, _ in found] == ["progress", "progress", "done"]
    assert [len(data["images"]) for _, data in found] == [0, 3, 3]
    assert found[-1][1] == client.post("/v1/interpolate", json=body, headers={"Accept": "application/json"}).json()
    assert service.closed == 1


def test_a_busy_model_is_a_503_in_a_stream_too(client: TestClient, service: Any) -> None:
    service.failure = Problem(503, "Overloaded", "try again", {"Retry-After": "2"})
    response = client.post("/v1/reconstruct", json={"source": SOURCE}, headers=STREAM)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert response.headers["content-type"] == "application/problem+json"
