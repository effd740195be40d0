import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from httpx import Response

from diffusegae.config.load import ConfigError
from serve.http.api import create_api
from serve.http.checks import Limits
from serve.http.security import protect
from serve.http.tokens import BearerTokens, Token, as_yaml, load_tokens, new_token
from tests.clock import Clock

HASH = "a" * 64


def entry(secret: str, name: str = "alice", per_minute: float = 60, burst: int = 3) -> Token:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return Token(name=name, sha256=digest, requests_per_minute=per_minute, burst=burst)


def small_app() -> FastAPI:
    api = FastAPI()
    for path in ("/v1/schema", "/v1/health", "/v1/gallery", "/v1/gallery/abc", "/v1", "/v1x", "/docs", "/page/main.js"):
        api.add_api_route(path, lambda: "answer")
    return api


def guarded(*tokens: Token, clock: Clock | None = None) -> TestClient:
    return TestClient(BearerTokens(small_app(), tokens, clock or Clock()))


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def require_problem(response: Response, status: int) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status


def write(folder: Path, text: str) -> str:
    path = folder / "tokens.yaml"
    path.write_text(text)
    return str(path)


def test_a_new_token_is_random_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    made = [new_token(name, 30, 5) for name in ("alice", "bob")]
    path = write(tmp_path, "".join(as_yaml(token) for _, token in made))
    assert load_tokens(path) == tuple(token for _, token in made)
    text = Path(path).read_text()
    for secret, token in made:
        assert secret not in text
        assert token.sha256 == hashlib.sha256(secret.encode()).hexdigest()
        assert len(secret) > 40
    assert made[0][0] != made[1][0]


def test_a_hash_of_digits_alone_stays_text(tmp_path: Path) -> None:
    token = Token(name="alice", sha256="1" * 64, requests_per_minute=1, burst=1)
    assert load_tokens(write(tmp_path, as_yaml(token))) == (token,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["at least one entry", "jobs.tokens"]),
        ("[]", ["at least one entry"]),
        ("name: alice", ["expected a list"]),
        ("- [", ["not valid YAML at line"]),
        ("- {name: a, sha256: dgae_secret, requests_per_minute: 1, burst: 1}", ["entry 1: sha256:", "64 lower-case"]),
        (f"- {{name: a, sha256: {'g' * 64}, requests_per_minute: 1, burst: 1}}", ["entry 1: sha256:", "hexadecimal"]),
        (f"- {{name: '', sha256: {HASH}, requests_per_minute: 1, burst: 1}}", ["entry 1: name:", "letters"]),
        (
            f"- {{name: a, sha256: {HASH}, requests_per_minute: 0, burst: 1}}",
            ["requests_per_minute:", "greater than 0"],
        ),
        (f"- {{name: a, sha256: {HASH}, requests_per_minute: '9', burst: 1}}", ["requests_per_minute:", "number"]),
        (f"- {{name: a, sha256: {HASH}, requests_per_minute: .inf, burst: 1}}", ["requests_per_minute:"]),
        (f"- {{name: a, sha256: {HASH}, requests_per_minute: 1, burst: 1.5}}", ["burst:", "integer"]),
        (f"- {{name: a, sha256: {HASH}, burst: 1}}", ["requests_per_minute: missing"]),
        (f"- {{name: a, sha256: {HASH}, requests_per_minute: 1, burst: 1, x: 1}}", ["x: unknown key", "name, sha256"]),
        ("- alice", ["entry 1:"]),
        (as_yaml(entry("one")) + as_yaml(entry("two")), ["entries 1 (alice) and 2 (alice)", "same name"]),
        (as_yaml(entry("one")) + as_yaml(entry("one", "bob")), ["(alice)", "(bob)", "same sha256"]),
    ],
)
def test_a_wrong_token_file_is_explained_without_its_values(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_tokens(path)
    message = str(caught.value)
    assert path in message
    assert "dgae_secret" not in message
    assert HASH not in message
    for word in words:
        assert word in message


def test_a_missing_token_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml.*No such file"):
        load_tokens("nowhere.yaml")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong"),
        bearer(""),
        {"Authorization": "Basic secret"},
        {"Authorization": "secret"},
        {"Authorization": "Bearersecret"},
        {"Authorization": "Bearer secret extra"},
        [("Authorization", "Bearer secret"), ("Authorization", "Bearer secret")],
        {"Cookie": "Authorization=secret"},
    ],
)
def test_without_a_valid_token_there_is_nothing(headers: Any) -> None:
    client = guarded(entry("secret"))
    for path in ("/v1/schema", "/v1", "/v1/nothing"):
        response = client.get(path, headers=headers)
        require_problem(response, 401)
        assert response.headers["www-authenticate"].startswith('Bearer realm="diffusegae"')
        assert "secret" not in response.text
    require_problem(client.get("/v1/schema?token=secret", headers=headers), 401)


def test_pages_and_health_need_no_token() -> None:
    client = guarded(entry("secret"))
    for path in ("/v1/health", "/v1x", "/docs", "/page/main.js", "/openapi.json"):
        assert client.get(path).status_code == 200


def test_every_token_of_the_file_is_accepted() -> None:
    client = guarded(entry("one"), entry("two", "bob"))
    assert client.get("/v1/schema", headers=bearer("one")).status_code == 200
    assert client.get("/v1/schema", headers=bearer("two")).status_code == 200
    assert client.get("/v1/schema", headers={"Authorization": "bearer  two "}).status_code == 200


def test_a_prefix_of_the_deployment_does_not_open_it() -> None:
    client = TestClient(BearerTokens(small_app(), [entry("secret")], Clock()), root_path="/edit")
    require_problem(client.get("/edit/v1/schema"), 401)
    require_problem(client.get("/v1/schema"), 401)
    assert client.get("/edit/v1/health").status_code == 200


def test_the_limit_is_a_burst_and_a_rate() -> None:
    clock = Clock()
    client = guarded(entry("secret", per_minute=30, burst=3), clock=clock)
    answers = [client.get("/v1/schema", headers=bearer("secret")) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"] for answer in answers[:3]] == [
        '"token";r=2;t=2',
        '"token";r=1;t=4',
        '"token";r=0;t=6',
    ]
    refused = answers[-1]
    require_problem(refused, 429)
    assert refused.headers["retry-after"] == "2"
    assert refused.headers["ratelimit"] == '"token";r=0;t=6'
    assert refused.headers["ratelimit-policy"] == '"token";q=3;w=6'
    assert "30 requests per minute" in refused.json()["detail"]
    clock.now += 1.5
    assert client.get("/v1/schema", headers=bearer("secret")).headers["retry-after"] == "1"
    clock.now += 0.5
    assert client.get("/v1/schema", headers=bearer("secret")).status_code == 200
    clock.now += 3600
    later = [client.get("/v1/schema", headers=bearer("secret")).status_code for _ in range(4)]
    assert later == [200, 200, 200, 429]


def test_waiting_as_told_is_enough_for_any_rate() -> None:
    for per_minute in (0.5, 7, 59, 61, 6000):
        clock = Clock()
        client = guarded(entry("secret", per_minute=per_minute, burst=1), clock=clock)
        assert client.get("/v1/schema", headers=bearer("secret")).status_code == 200
        refused = client.get("/v1/schema", headers=bearer("secret"))
        wait = int(refused.headers["retry-after"])
        assert 1 <= wait <= 60 / per_minute + 1
        clock.now += wait
        assert client.get("/v1/schema", headers=bearer("secret")).status_code == 200


def test_one_tokens_limit_is_not_anothers_and_open_paths_are_not_counted() -> None:
    client = guarded(entry("one", burst=1), entry("two", "bob", burst=1))
    assert client.get("/v1/schema", headers=bearer("one")).status_code == 200
    assert client.get("/v1/schema", headers=bearer("one")).status_code == 429
    assert client.get("/v1/health", headers=bearer("one")).status_code == 200
    assert client.get("/docs", headers=bearer("one")).status_code == 200
    assert client.get("/v1/schema", headers=bearer("two")).status_code == 200
    assert client.get("/v1/schema", headers=bearer("wrong")).status_code == 401


def test_gallery_pictures_need_a_token_but_are_not_counted() -> None:
    client = guarded(entry("secret", burst=1))
    require_problem(client.get("/v1/gallery/abc"), 401)
    for _ in range(5):
        assert client.get("/v1/gallery/abc", headers=bearer("secret")).status_code == 200
    assert client.get("/v1/schema", headers=bearer("secret")).status_code == 200
    require_problem(client.get("/v1/schema", headers=bearer("secret")), 429)


def test_streams_pass_piece_by_piece() -> None:
    """Every piece leaves before the next is made, and a client that goes away ends the stream."""
    sent: list[bytes] = []
    order: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            order.append(f"made {number}")
            yield str(number).encode()

    api = FastAPI()
    api.add_api_route("/v1/events", lambda: StreamingResponse(pieces(), media_type="text/event-stream"))
    protect(api, tokens=[entry("secret")])

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            sent.append(message["body"])
            order.append(f"sent {message['body'].decode()}")

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/events",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer secret")],
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }
    asyncio.run(asyncio.wait_for(api(scope, receive, send), 10))
    assert sent == [b"0", b"1", b"2"]
    assert order == ["made 0", "sent 0", "made 1", "sent 1", "made 2", "sent 2"]


def test_a_token_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = guarded(entry("the-secret", burst=1))
    for secret in ("the-secret", "the-secret", "another-secret"):
        client.get("/v1/schema", headers=bearer(secret))
    assert "alice is over its limit" in caplog.text
    assert "-secret" not in caplog.text


def test_the_real_api_asks_for_a_token_only_when_there_are_some(service: Any) -> None:
    open_api = create_api(service, Limits())
    protect(open_api)
    assert TestClient(open_api).get("/v1/schema").status_code == 200
    closed_api = create_api(service, Limits())
    protect(closed_api, tokens=[entry("secret")])
    client = TestClient(closed_api)
    require_problem(client.get("/v1/schema"), 401)
    require_problem(client.post("/v1/edit", json={}), 401)
    require_problem(client.post("/v1/edit", json={}, headers=bearer("secret")), 422)
    assert client.get("/v1/schema", headers=bearer("secret")).status_code == 200
    assert client.get("/v1/health").status_code == 200
    assert client.get("/docs").status_code == 200
    assert "security" not in TestClient(open_api).get("/openapi.json").json()
    description = client.get("/openapi.json").json()
    assert description["security"] == [{"token": []}]
    assert description["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert description["paths"]["/v1/health"]["get"]["security"] == []
