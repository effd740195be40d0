import base64
from typing import Any

import jsonschema
import numpy as np
import pytest
from fastapi.testclient import TestClient

from diffusegae.images import encode_image
from serve.http.answers import PicturesResponse
from serve.problems import MEDIA_TYPE

PNG = base64.b64encode(encode_image(np.zeros((32, 32, 3), np.uint8))).decode()
ENDPOINTS = ("edit", "recombine", "interpolate", "reconstruct", "decode")
FORM = "multipart/form-data"


@pytest.fixture
def api(client: TestClient) -> Any:
    return client.get("/openapi.json").json()


def body(api: Any, name: str, kind: str = "application/json") -> Any:
    return api["paths"][f"/v1/{name}"]["post"]["requestBody"]["content"][kind]["schema"]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [each for value in node.values() for each in references(value)]
    return [each for value in node for each in references(value)] if isinstance(node, list) else []


def test_every_reference_and_schema_is_sound(api: Any) -> None:
    assert api["openapi"].startswith("3.1")
    schemas = api["components"]["schemas"]
    assert {reference.rpartition("/")[2] for reference in references(api)} <= set(schemas)
    assert not [name for name in schemas if "HTTPValidation" in name]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for name in (*ENDPOINTS, "encode", "jobs"):
        for kind in ("application/json", FORM):
            jsonschema.Draft202012Validator.check_schema(body(api, name, kind))
    ids = [operation["operationId"] for methods in api["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)


def test_all_routes_are_there_with_their_problems(api: Any) -> None:
    posts = {path for path, methods in api["paths"].items() if "post" in methods}
    assert posts == {f"/v1/{name}" for name in (*ENDPOINTS, "encode", "jobs")}
    for path, methods in api["paths"].items():
        for operation in methods.values():
            problems = {status: each for status, each in operation["responses"].items() if status >= "400"}
            assert {"401", "403", "429", "500", "503"} <= set(problems), path
            assert all(set(each["content"]) == {MEDIA_TYPE} for each in problems.values()), path
    assert {"400", "404", "406", "413", "415", "422"} <= set(api["paths"]["/v1/edit"]["post"]["responses"])
    assert "409" in api["paths"]["/v1/jobs/{id}/result"]["get"]["responses"]


def test_answers_have_all_their_forms(api: Any) -> None:
    still = {"image/png", "image/jpeg", "image/webp", "application/json", "text/event-stream"}
    assert set(api["paths"]["/v1/edit"]["post"]["responses"]["200"]["content"]) == still
    moving = {*still, "image/apng", "image/gif"}
    assert set(api["paths"]["/v1/interpolate"]["post"]["responses"]["200"]["content"]) == moving
    assert api["components"]["schemas"]["PicturesResponse"]["required"] == list(PicturesResponse.model_fields)


def test_bodies_hold_what_the_models_and_limits_allow(api: Any) -> None:
    fields = body(api, "edit")["properties"]
    assert fields["steps"]["anyOf"][0]["enum"][-2:] == [91, 100]
    assert fields["size"]["anyOf"][0] == {"type": "integer", "minimum": 16, "maximum": 256}
    assert list(fields["donors"]["properties"]) == ["letter", "colour"]
    assert fields["values"]["properties"] == {"letter": {"type": "string", "enum": ["a", "b", "c"]}}
    assert body(api, "interpolate")["properties"]["frames"]["maximum"] == 4
    assert body(api, "decode")["properties"]["parts"]["properties"]["letter"]["maxItems"] == 12
    (model,) = api["paths"]["/v1/edit"]["post"]["parameters"]
    assert model["schema"]["enum"] == ["diffusegae", "plain"]


def test_forms_have_one_field_per_file_and_attribute(api: Any) -> None:
    form = body(api, "edit", FORM)
    file = {"type": "string", "format": "binary"}
    assert form["properties"]["source"] == form["properties"]["donors.letter"] == file
    assert form["properties"]["strengths.colour"]["maximum"] == 1
    assert form["required"] == ["source"]
    job = next(each for each in body(api, "jobs", FORM)["oneOf"] if "request.donors.letter" in each["properties"])
    assert job["required"] == ["operation", "request.source"]


def test_without_a_model_the_names_are_open(client: TestClient, service: Any) -> None:
    service.models = ()
    api = client.get("/openapi.json").json()
    assert body(api, "edit", FORM)["patternProperties"][r"^donors\."]["format"] == "binary"
    assert body(api, "edit")["properties"]["steps"]["anyOf"][0]["maximum"] == 100
    response = client.post("/v1/reconstruct", json={"source": PNG})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


BODIES = {
    "edit": [
        {"source": PNG, "donors": {"letter": PNG}},
        {"source": PNG, "values": {"letter": "a"}, "strengths": {"letter": 0.5}, "steps": 2.0, "size": None},
        {"source": PNG},
        {"source": PNG, "donors": {}},
        {"source": PNG, "donors": {"letter": PNG}, "values": {"letter": "a"}},
        {"source": PNG, "donors": {"letter": PNG}, "strengths": {"colour": 1}},
        {"source": PNG, "donors": {"shape": PNG}},
        {"source": PNG, "values": {"letter": "z"}},
        {"source": PNG, "values": {"colour": "red"}},
        {"source": PNG, "donors": {"letter": PNG}, "steps": 99},
        {"source": PNG, "donors": {"letter": PNG}, "steps": "4"},
        {"source": PNG, "donors": {"letter": PNG}, "size": 257},
        {"source": PNG, "donors": {"letter": PNG}, "seed": None},
        {"source": PNG, "donors": {"letter": PNG}, "x_T": "RANDOM"},
        {"source": PNG, "donors": {"letter": PNG}, "format": "gif"},
        {"source": "", "donors": {"letter": PNG}},
    ],
    "recombine": [
        {"donors": {"letter": PNG, "colour": PNG}},
        {"donors": {"colour": PNG}, "values": {"letter": "b"}},
        {"donors": {"colour": PNG, "letter": PNG}, "values": {"letter": "b"}},
        {"values": {"letter": "b"}},
    ],
    "interpolate": [
        {"source": PNG, "target": PNG, "frames": 2, "format": "gif", "seconds": 1},
        {"source": PNG, "target": PNG, "frames": 2, "attributes": []},
        {"source": PNG, "target": PNG, "frames": 5},
        {"source": PNG, "target": PNG, "frames": 2, "attributes": ["shape"]},
        {"source": PNG, "target": PNG, "frames": 2, "attributes": "letter"},
        {"source": PNG, "target": PNG, "frames": 2, "seconds": 0},
    ],
    "decode": [
        {"parts": {"letter": [0] * 12, "colour": [0.5] * 12}},
        {"parts": {"letter": [0] * 12}},
        {"parts": {"letter": [0] * 12, "colour": [0] * 11}},
        {"parts": {"letter": [0] * 12, "colour": [2000] * 12}},
        {"parts": {"letter": [0] * 12, "colour": [0] * 12}, "x_T": "x"},
        {"parts": {"letter": [0] * 12, "colour": [None] * 12}},
    ],
    "encode": [{"source": PNG, "noise": True, "steps": 1}, {"source": PNG, "noise": 1}, {"source": PNG, "seed": 1}],
}


@pytest.mark.parametrize(("name", "number"), [(name, n) for name, all in BODIES.items() for n in range(len(all))])
def test_what_is_described_is_what_is_accepted(client: TestClient, api: Any, name: str, number: int) -> None:
    content = BODIES[name][number]
    response = client.post(f"/v1/{name}", json=content)
    is_valid = jsonschema.Draft202012Validator(body(api, name)).is_valid(content)
    assert (response.status_code == 200) == is_valid, response.text
    job = {"operation": name, "request": content}
    assert name == "encode" or jsonschema.Draft202012Validator(body(api, "jobs")).is_valid(job) == is_valid
