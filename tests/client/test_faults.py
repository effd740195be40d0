"""What both clients do when the service, or the way to it, fails."""

import asyncio
import base64
import json
import pickle
import socket
import threading
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest

from diffusegae.client import (
    AnswerError,
    AsyncClient,
    BadRequestError,
    BrokenConnectionError,
    Client,
    ClientError,
    ConflictError,
    InputError,
    JobState,
    NotFoundError,
    Picture,
    Progress,
    Retries,
    ServiceError,
    TimedOutError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
)
from diffusegae.client.errors import from_problem
from tests.client.fronts import Front
from tests.client.scripted_server import DROP, Script, answer, events, json_answer, problem
from tests.ports import free_port

HEALTHY = json_answer(b'{"status": "ok", "model": "cars/3"}')
PICTURE = answer(200, b"pixels", {"Content-Type": "image/png", "X-Model": "cars/3"})
PICTURES = json.dumps({"images": [base64.b64encode(b"pixels").decode()], "format": "png", "model": "cars/3"}).encode()
JOB = {"id": "j/1", "status": "queued", "step": 0, "steps": 8, "problem": None, "links": {}}
EAGER = Retries(draw=lambda: 1.0)


def health(client: Any) -> Any:
    return client.health()


def reconstruct(client: Any) -> Any:
    return client.reconstruct(b"a picture")


def follow(client: Any) -> Any:
    return client.follow.reconstruct(b"a picture")


def submit(client: Any) -> Any:
    return client.jobs.reconstruct(b"a picture")


def event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def done() -> bytes:
    return b"event: done\ndata: " + PICTURES + b"\n\n"


def test_a_busy_service_is_asked_again_when_it_says(front: Front, script: Script) -> None:
    soon = formatdate(time.time() + 3, usegmt=True)
    script.answers += [
        problem(503, "busy", {"Retry-After": "7"}),
        problem(429, "slow down", {"Retry-After": soon}),
        answer(502, b"<h1>Bad gateway</h1>"),
        answer(500, b"Internal Server Error"),  # a proxy's, whose service broke off
        HEALTHY,
    ]
    assert front.ask(script.address, health, retries=replace(EAGER, attempts=5)).model == "cars/3"
    assert front.pauses == [7.5, pytest.approx(3, abs=1.1), 2.0, 4.0]
    assert len(set(script.requests)) == 1


def test_what_took_too_long_is_not_asked_again(front: Front, script: Script) -> None:
    body = {"type": "/problems/deadline-passed", "title": "Deadline passed", "status": 504, "detail": "not in 110 s"}
    script.answers += [json_answer(json.dumps(body).encode(), 504)]
    with pytest.raises(UnavailableError, match="504 Deadline passed: not in 110 s"):
        front.ask(script.address, health)
    assert front.pauses == []


def test_a_connection_that_breaks_is_made_again(front: Front, script: Script) -> None:
    script.answers += [DROP, PICTURE[:-3], PICTURE]
    picture = front.ask(script.address, reconstruct)
    assert (picture.data, picture.media_type, picture.model) == (b"pixels", "image/png", "cars/3")
    assert len(front.pauses) == 2
    assert len(script.requests) == 3
    assert script.requests[0] == script.requests[2]


def test_the_last_error_is_told_when_attempts_end(front: Front, script: Script) -> None:
    script.answers += [problem(503, "busy")] * 2 + [DROP]
    with pytest.raises(BrokenConnectionError, match=f"{script.address} broke"):
        front.ask(script.address, health, retries=Retries(attempts=3))
    assert len(front.pauses) == 2


def test_a_wait_beyond_the_deadline_is_not_begun(front: Front, script: Script) -> None:
    script.answers += [problem(503, "busy", {"Retry-After": "3600"})]
    with pytest.raises(UnavailableError, match="503 Some title: busy") as raised:
        front.ask(script.address, health)
    assert raised.value.retry_after == 3600
    assert front.pauses == []


def test_nobody_there(front: Front) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError, match=f"{address} does not answer .*check the address"):
        front.ask(address, health)
    assert len(front.pauses) == 3


def test_silence_is_not_asked_again(front: Front) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimedOutError, match=f"{address} was silent .*timeout"):
            front.ask(address, health, timeout=0.2)
        with pytest.raises(TimedOutError):  # the deadline cuts an attempt short too
            front.ask(address, health, retries=Retries(deadline=0.2))
    assert front.pauses == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, UnauthorizedError),
        (403, UnauthorizedError),
        (404, NotFoundError),
        (406, BadRequestError),
        (409, ConflictError),
        (413, BadRequestError),
        (422, BadRequestError),
        (500, ServiceError),
    ],
)
def test_a_refusal_is_told_once(front: Front, script: Script, status: int, kind: type[ServiceError]) -> None:
    script.answers += [problem(status, "steps=99; ask for 100")]
    with pytest.raises(kind, match="steps=99; ask for 100") as raised:
        front.ask(script.address, health)
    error = raised.value
    assert type(error) is kind
    assert (error.status, error.type, error.title) == (status, "/problems/x", "Some title")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.status, str(copy)) == (kind, status, str(error))


def test_gateways_that_speak_no_problem_json(front: Front, script: Script) -> None:
    script.answers += [answer(501, b"<html>\n  it   broke </html>"), json_answer(b'["no object"]', 404)]
    with pytest.raises(ServiceError, match="501 .*: <html> it broke </html>"):
        front.ask(script.address, health)
    with pytest.raises(NotFoundError):
        front.ask(script.address, health)


@pytest.mark.parametrize(
    ("sent", "asked", "reason"),
    [
        (answer(200, b"<html>"), health, "not the Health that was expected"),
        (json_answer(b'{"model": 3}'), health, "status: Field required; model"),
        (answer(200, b"{}", {"Content-Type": "text/html"}), reconstruct, "answered text/html, not a picture"),
        (answer(307, b"", {"Location": "https://there"}), health, "moved to https://there"),
        (answer(200, b"x" * 20, {"Content-Encoding": "gzip"}), health, "does not decompress"),
        (json_answer(b'{"images": ["~"], "model": "m"}'), lambda c: c.interpolate(b"a", b"b"), "not base64"),
        (
            json_answer(b'{"parts": {"letter": [1]}, "x_T": "AAAA", "model": "m"}'),
            lambda client: client.encode(b"a", noise=True),
            "x_T of 3 bytes",
        ),
    ],
)
def test_another_program_at_the_address(
    front: Front, script: Script, sent: bytes, asked: Callable[[Any], Any], reason: str
) -> None:
    script.answers += [sent]
    with pytest.raises(AnswerError, match=reason):
        front.ask(script.address, asked)
    assert front.pauses == []


def test_a_stream_that_breaks_begins_again(front: Front, script: Script) -> None:
    step = event("progress", step=3, steps=8, images=[])
    script.answers += [events(step), events(step, b"event: do"), events(step, done())]
    seen = front.follow(script.address, follow)
    assert seen[:3] == [Progress(3, 8)] * 3
    assert isinstance(seen[3], Picture)
    assert (seen[3].data, seen[3].model, len(seen)) == (b"pixels", "cars/3", 4)
    assert len(front.pauses) == 2


def test_a_stream_is_read_whole_whatever_it_says_besides(front: Front, script: Script) -> None:
    seen_by_now = event("progress", step=4, steps=8, images=[base64.b64encode(b"estimate").decode()])
    script.answers += [events(b": waiting\n\n", event("news", text="x"), seen_by_now, done(), b"after the end")]
    progress, result = front.follow(script.address, lambda client: client.follow.interpolate(b"a", b"b"))
    assert (progress.step, progress.steps, progress.pictures[0].data) == (4, 8, b"estimate")
    assert [picture.data for picture in result] == [b"pixels"]
    assert b"accept: text/event-stream" in script.requests[0].lower()


def test_a_problem_inside_a_stream(front: Front, script: Script) -> None:
    refused = event("problem", type="/problems/x", title="T", status=422, detail="no such letter")
    script.answers += [events(refused), problem(422, "no such letter"), events(b"event: problem\ndata: oh\n\n")]
    for kind, reason in ((BadRequestError, "no such letter"), (BadRequestError, "letter"), (ServiceError, "500 .*oh")):
        with pytest.raises(kind, match=reason):
            front.follow(script.address, follow)
    assert front.pauses == []


def test_an_overloaded_stream_is_asked_again(front: Front, script: Script) -> None:
    busy = event("problem", type="/problems/x", title="T", status=503, detail="busy")
    script.answers += [problem(503, "busy"), events(busy), events(done())]
    assert len(front.follow(script.address, follow)) == 1
    assert len(front.pauses) == 2


def test_a_stream_has_bounded_attempts(front: Front, script: Script) -> None:
    script.answers += [events(event("progress", step=1, steps=8))] * 4
    with pytest.raises(BrokenConnectionError, match="ended the events before the result"):
        front.follow(script.address, follow)


def test_what_is_no_stream(front: Front, script: Script) -> None:
    script.answers += [HEALTHY, events(event("progress", step="x"))]
    with pytest.raises(AnswerError, match="answered application/json where events were expected"):
        front.follow(script.address, follow)
    with pytest.raises(AnswerError, match="ProgressMessage"):
        front.follow(script.address, follow)


def test_a_job_is_submitted_once(front: Front, script: Script) -> None:
    for lost in (DROP, json_answer(json.dumps(JOB).encode(), 202, cut=5), problem(503, "busy")):
        script.answers += [lost]
        with pytest.raises(ClientError):
            front.ask(script.address, submit)
    assert len(script.requests) == 3
    assert front.pauses == []


def test_a_job_that_was_not_taken_is_submitted_again(front: Front, script: Script) -> None:
    script.answers += [problem(429, "slow down"), json_answer(json.dumps(JOB).encode(), 202)]
    assert front.ask(script.address, submit).id == "j/1"
    assert len(front.pauses) == 1
    body = json.loads(script.requests[1].partition(b"\r\n\r\n")[2])
    assert body == {"operation": "reconstruct", "request": {"source": "YSBwaWN0dXJl", "x_T": "inferred"}}


def test_a_job_is_waited_for_across_broken_connections(front: Front, script: Script) -> None:
    script.answers += [events(event("progress", step=step, steps=9)) for step in range(6)]  # more than the attempts
    script.answers += [events(done()), json_answer(PICTURES)]
    seen = front.follow(script.address, lambda client: client.jobs.reopen("j/1").follow())
    assert seen[:6] == [Progress(step, 9) for step in range(6)]
    assert len(seen) == 7
    assert b"GET /v1/jobs/j%2F1/events " in script.requests[0]
    assert b"GET /v1/jobs/j%2F1/result " in script.requests[-1]


def test_a_job_that_failed_is_not_asked_again(front: Front, script: Script) -> None:
    busy = event("problem", type="/problems/x", title="T", status=503, detail="no replica")
    script.answers += [events(busy)]
    with pytest.raises(UnavailableError, match="no replica"):
        front.ask(script.address, lambda client: client.jobs.reopen("1").wait())
    assert front.pauses == []


def test_a_job_that_was_cancelled_before_its_answer_broke(front: Front, script: Script) -> None:
    script.answers += [DROP, problem(404, "no job")]
    assert front.ask(script.address, lambda client: client.jobs.reopen("1").cancel()) is None
    assert len(front.pauses) == 1


def test_the_states_of_a_job() -> None:
    states = {status: JobState(**{**JOB, "status": status}).is_over for status in ("queued", "running", "done")}
    assert states == {"queued": False, "running": False, "done": True}


def test_what_every_request_carries(front: Front, script: Script) -> None:
    script.answers += [HEALTHY, HEALTHY]
    front.ask(f"{script.address}/prefix/", health, token="secret", model="big cars")
    front.ask(script.address, health)
    first, second = (request.lower() for request in script.requests)
    assert first.startswith(b"get /prefix/v1/health?model=big+cars http") or b"?model=big%20cars http" in first
    assert b"authorization: bearer secret\r\n" in first
    assert b"authorization" not in second
    assert second.startswith(b"get /v1/health http")


def test_a_token_does_not_follow_a_redirect_nor_show(front: Front, script: Script) -> None:
    script.answers += [answer(302, b"", {"Location": f"{script.address}/elsewhere"})]
    with pytest.raises(AnswerError) as raised:
        front.ask(script.address, health, token="secret")
    assert len(script.requests) == 1
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "settings", "reason"),
    [
        ("127.0.0.1:8000", {}, "give http://host:port"),
        ("ftp://host", {}, "give http://host:port"),
        ("http://", {}, "give http://host:port"),
        ("http://host:port", {}, "is no URL"),
        ("http://host", {"token": "line\nbreak"}, "token .* copy it again"),
        ("http://host", {"token": ""}, "token .* copy it again"),
        ("http://host", {"timeout": 0.0}, "timeout=0.0; expected seconds above 0"),
    ],
)
def test_settings_that_cannot_be_used(front: Front, address: str, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        front.ask(address, health, **settings)


def test_what_cannot_be_sent_is_not(front: Front, script: Script) -> None:
    for asked, reason in (
        (lambda client: client.edit("no/such.png", values={"letter": "a"}), "source: no/such.png cannot be read"),
        (lambda client: client.edit(b"a", donors={"letter": "no.png"}), "donors.letter: no.png"),
        (lambda client: client.edit(b"a", strengths={"letter": float("nan")}), "cannot be written as JSON"),
        (lambda client: client.decode({"letter": [[1.0]]}), r"parts.letter: \[1, 1\] values"),
        (lambda client: client.decode({"letter": [float("inf")]}), "parts.letter: .*finite"),
    ):
        with pytest.raises(InputError, match=reason):
            front.ask(script.address, asked)
    assert script.requests == []


def test_problems_without_their_fields() -> None:
    assert str(from_problem({}, 404)) == "404 Problem"
    assert (from_problem("x").status, from_problem({"status": 429}).status) == (500, 429)
    assert isinstance(from_problem({"status": 429}), TooManyRequestsError)


def leave_early(address: str) -> None:
    with Client(address) as client:
        for _ in client.follow.reconstruct(b"a picture"):
            break


def leave_early_async(address: str) -> None:
    async def leave() -> None:
        async with AsyncClient(address) as client, aclosing(client.follow.reconstruct(b"a picture")) as seen:
            async for _ in seen:
                break

    asyncio.run(leave())


@pytest.mark.parametrize("leave", [leave_early, leave_early_async])
def test_leaving_a_stream_closes_its_connection(leave: Callable[[str], None]) -> None:
    """The service takes a closed connection as the end of the request."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            connection.sendall(events(event("progress", step=1, steps=9)))
            while connection.recv(65_536):  # the request, then the end of the connection
                pass
            closed.set()
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        leave(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert closed.wait(10)
        thread.join()
