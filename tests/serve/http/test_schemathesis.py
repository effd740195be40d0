"""The API against its own description: whatever the description allows or forbids, answers are as it says."""

import base64
from typing import Any

import numpy as np
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from schemathesis import Case, GenerationMode
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serve.http.api import create_api
from serve.http.checks import Limits
from serve.http.parsing import FORM
from serve.http.security import protect
from tests.serve.hostile_pictures import picture

WITH_BODIES = tuple(
    f"POST /v1/{name}" for name in ("edit", "recombine", "interpolate", "reconstruct", "encode", "decode", "jobs")
)
PLAIN = ("GET /v1/schema", "GET /v1/models", "GET /v1/health", "GET /v1/gallery")
OF_A_JOB = ("GET /v1/jobs/{id}", "GET /v1/jobs/{id}/events", "GET /v1/jobs/{id}/result", "DELETE /v1/jobs/{id}")
EXAMPLES = 15
# The generator calls some requests invalid that are not, and stumbles over its own bytes in others; not with this seed.
SEED = 0
# Rules between fields, which JSON Schema cannot hold: a request that keeps to the description breaks these alone.
BEYOND_SCHEMA = {
    f"/problems/{name}"
    for name in ("nothing-to-change", "donor-missing", "attribute-named-twice", "strength-without-change")
}
# Lists in forms are text of a described content only; nor does the generator send a job's pictures as files.
BEYOND_FORMS = {"/problems/invalid-request", "/problems/unknown-attribute"}


@pytest.fixture(autouse=True)
def same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the seed alone decide what is drawn: else Hypothesis draws constants of all modules that are loaded too."""
    monkeypatch.setattr(providers, "_get_local_constants", Constants)


@pytest.fixture
def api(service: Any) -> FastAPI:
    """Return the API of one model as it is served, with limits that keep its work small."""
    service.models = service.models[:1]
    limits = Limits(max_request_bytes=200_000, max_pixels=40_000, max_steps=4, max_frames=8, max_size=48)
    result = create_api(service, limits)
    protect(result)
    return result


@pytest.fixture
def description(api: FastAPI) -> Any:
    """Return the description, with generators for what it cannot describe: pictures and noise."""
    pictures = [picture(encoding) for encoding in ("PNG", "JPEG", "WEBP")]
    noise = np.random.default_rng(0).normal(size=(3, 32, 32)).astype("<f4").tobytes()
    schemathesis.openapi.format("binary", st.sampled_from(pictures))
    schemathesis.openapi.format("picture", st.sampled_from([base64.b64encode(data).decode() for data in pictures]))
    schemathesis.openapi.format("noise", st.just(base64.b64encode(noise).decode()))
    return schemathesis.openapi.from_asgi("/openapi.json", api)


def find(description: Any, label: str) -> APIOperation:
    (found,) = [each.ok() for each in description.get_all_operations() if each.ok().label == label]
    return found


def send(operation: APIOperation, mode: GenerationMode, **options: Any) -> list[tuple[Case, Any]]:
    """Send generated requests, check every answer against the description, and return both."""
    sent = []

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode, feedback=NO_FEEDBACK, **options))
    def run(case: Case) -> None:
        response = case.call()
        case.validate_response(response, excluded_checks=[positive_data_acceptance])
        sent.append((case, response))

    run()
    return sent


def test_every_operation_is_tested(description: Any) -> None:
    found = {each.ok().label for each in description.get_all_operations()}
    assert found == {*WITH_BODIES, *PLAIN, *OF_A_JOB}


@pytest.mark.parametrize("label", [*WITH_BODIES, *PLAIN])
def test_what_is_described_is_answered_as_described(description: Any, label: str) -> None:
    """What is refused all the same breaks a rule between fields."""
    sent = send(find(description, label), GenerationMode.POSITIVE)
    refused = [(case, response.json()["type"]) for case, response in sent if response.status_code >= 400]
    for case, kind in refused:
        assert kind in (BEYOND_SCHEMA | BEYOND_FORMS if case.media_type == FORM else BEYOND_SCHEMA)
    if label != "POST /v1/recombine":  # chance does not name every attribute exactly once
        assert len(refused) < len(sent)


@pytest.mark.parametrize("label", [*WITH_BODIES, "GET /v1/schema"])
def test_what_is_not_described_is_refused_as_described(description: Any, label: str) -> None:
    sent = send(find(description, label), GenerationMode.NEGATIVE)
    assert sum(response.status_code >= 400 for _, response in sent) > EXAMPLES / 2


@pytest.mark.parametrize("label", OF_A_JOB)
def test_jobs_are_answered_as_described(api: FastAPI, description: Any, label: str) -> None:
    client, body = TestClient(api), {"source": base64.b64encode(picture("PNG")).decode()}
    job = client.post("/v1/jobs", json={"operation": "reconstruct", "request": body}).json()["id"]
    known = send(find(description, label), GenerationMode.POSITIVE, path_parameters={"id": job})
    assert {response.status_code for _, response in known} <= {200, 204}
    unknown = send(find(description, label), GenerationMode.POSITIVE)
    assert {response.status_code for _, response in unknown} == {404}
