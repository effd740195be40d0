import base64
import dataclasses
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from diffusegae.images import encode_image
from tests.serve.http.test_events import parsed

PNG = encode_image(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
TEXT = base64.b64encode(PNG).decode()
JOB = {"operation": "interpolate", "request": {"source": TEXT, "target": TEXT, "frames": 2, "format": "gif"}}


@pytest.fixture
def links(client: TestClient) -> dict[str, str]:
    response = client.post("/v1/jobs", json=JOB)
    assert response.status_code == 202, response.text
    content: dict[str, Any] = response.json()
    assert (content["status"], content["step"], content["problem"]) == ("queued", 0, None)
    assert response.headers["location"] == content["links"]["self"] == f"/v1/jobs/{content['id']}"
    links: dict[str, str] = content["links"]
    return links


def become(service: Any, **changes: Any) -> None:
    service.jobs["job-0"] = dataclasses.replace(service.jobs["job-0"], **changes)


def test_a_job_gives_what_the_operation_gives(client: TestClient, links: dict[str, str]) -> None:
    assert client.get(links["self"]).json()["status"] == "done"
    for accept in ("*/*", "application/json"):
        result = client.get(links["result"], headers={"Accept": accept})
        at_once = client.post("/v1/interpolate", json=JOB["request"], headers={"Accept": accept})
        assert result.content == at_once.content
        assert result.headers["content-type"] == at_once.headers["content-type"]
        assert result.headers["x-model"] == "diffusegae/7"
    found = parsed(client.get(links["events"]).text)
    assert [name for name, _ in found] == ["progress", "done"]
    answer = client.get(links["result"], headers={"Accept": "application/json"}).json()
    assert found[-1][1] == answer
    assert parsed(client.get(links["result"], headers={"Accept": "text/event-stream"}).text) == [("done", answer)]


def test_a_form_nests_the_request(client: TestClient, service: Any) -> None:
    files = {"request.source": PNG, "request.donors.letter": PNG}
    data = {"operation": "edit", "request.strengths.letter": "0.5", "request.steps": "2"}
    response = client.post("/v1/jobs?model=plain", files=files, data=data)
    assert response.status_code == 202, response.text
    ((model, task),) = service.asked
    assert (model, task.operation.strengths["letter"], task.sampling.steps) == ("plain", 0.5, 2)


def test_a_job_that_is_not_done_has_no_result(client: TestClient, service: Any, links: dict[str, str]) -> None:
    become(service, status="running", step=1, generated=None)
    response = client.get(links["result"])
    assert (response.status_code, response.headers["retry-after"]) == (409, "1")
    assert "running, step 1 of 4" in response.json()["detail"]
    problem = {"type": "/problems/x", "title": "X", "status": 503, "detail": "no replica answers"}
    become(service, status="failed", problem=problem)
    response = client.get(links["result"])
    assert response.status_code == 409
    assert "failed (no replica answers)" in response.json()["detail"]
    assert client.get(links["self"]).json()["problem"] == problem
    events = client.get(links["events"])
    assert events.status_code == 200
    assert parsed(events.text) == [("problem", {**problem, "type": "/problems/x"})]


def test_a_job_can_be_given_up(client: TestClient, links: dict[str, str]) -> None:
    response = client.delete(links["self"])
    assert (response.status_code, response.content) == (204, b"")
    assert client.get(links["self"]).status_code == 404


def test_a_cancelled_job_has_no_result(client: TestClient, service: Any, links: dict[str, str]) -> None:
    become(service, status="cancelled", generated=None)
    response = client.get(links["result"])
    assert (response.status_code, response.json()["type"]) == (409, "/problems/job-has-no-result")


@pytest.mark.parametrize("id", ["job-1", "%F0%9F%92%A9", "a" * 500, "job-0%20"])
def test_an_unknown_job_is_a_404(client: TestClient, links: dict[str, str], id: str) -> None:
    for response in (
        client.get(f"/v1/jobs/{id}"),
        client.delete(f"/v1/jobs/{id}"),
        client.get(f"/v1/jobs/{id}/events"),
        client.get(f"/v1/jobs/{id}/result"),
    ):
        assert response.status_code == 404
        assert response.json()["type"] == "/problems/unknown-job"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, ["operation: Field required", "request: Field required"]),
        ({"operation": "paint", "request": {}}, ["operation='paint'", "'edit'"]),
        ({"operation": "edit", "request": {"sauce": 1}}, ["request.source: Field required", "request.sauce: unknown"]),
        ({"operation": "edit", "request": [1]}, ["request: Input should be an object"]),
        ({"operation": "edit", "request": {"source": TEXT, "donors": {"letter": 1}}}, ["request.donors.letter=1"]),
        ({**JOB, "request": {**JOB["request"], "frames": 9}}, ["frames=9"]),
    ],
)
def test_a_wrong_job_gets_a_reason(client: TestClient, service: Any, body: Any, words: list[str]) -> None:
    response = client.post("/v1/jobs", json=body)
    assert response.status_code == 422
    for word in words:
        assert word in response.json()["detail"]
    assert not service.jobs


def test_events_are_only_events(client: TestClient, links: dict[str, str]) -> None:
    response = client.get(links["events"], headers={"Accept": "image/png"})
    assert response.status_code == 406
