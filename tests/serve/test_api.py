import base64
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from httpx import Response

from diffusegae.editing.editor import Editor
from diffusegae.images import decode_image, encode_image, to_pixels, to_tensor
from serve.problems import Problem

RNG = np.random.default_rng(0)
PIXELS = {name: RNG.integers(0, 256, (32, 32, 3), np.uint8) for name in ("source", "letter", "colour")}
PNGS = {name: encode_image(pixels) for name, pixels in PIXELS.items()}


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tensor(name: str) -> torch.Tensor:
    return to_tensor(PIXELS[name])[None]


def edit_body(**changes: Any) -> dict[str, Any]:
    return {"source": as_text(PNGS["source"]), "donors": {"letter": as_text(PNGS["letter"])}, **changes}


def require_problem(response: Response, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    for word in words:
        assert word in response.json()["detail"]


def test_edit_is_the_editors_edit(client: TestClient, editor: Editor) -> None:
    response = client.post("/v1/edit", json=edit_body())
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-model"] == "diffusegae/7"
    expected = to_pixels(editor.edit(tensor("source"), {"letter": tensor("letter")}))[0]
    assert (decode_image(response.content) == expected).all()


def test_random_noise_of_a_seed(client: TestClient, editor: Editor) -> None:
    bodies = [edit_body(x_T="random", seed=seed) for seed in (1, 1, 2)]
    first, again, other = (client.post("/v1/edit", json=body).content for body in bodies)
    expected = editor.edit(tensor("source"), {"letter": tensor("letter")}, seeds=[1])
    assert (decode_image(first) == to_pixels(expected)[0]).all()
    assert first == again != other


def test_a_form_and_json_mean_the_same(client: TestClient) -> None:
    files = {"source": ("s.png", PNGS["source"]), "donors.letter": ("l.png", PNGS["letter"])}
    form = client.post("/v1/edit", files=files, data={"steps": "2", "x_T": "random", "seed": "3"})
    assert form.status_code == 200, form.text
    assert form.content == client.post("/v1/edit", json=edit_body(steps=2, x_T="random", seed=3)).content


def test_data_urls_and_other_formats_are_read(client: TestClient) -> None:
    url = f"data:image/png;base64,{as_text(PNGS['source'])}"
    assert client.post("/v1/reconstruct", json={"source": url}).status_code == 200
    for encoding in ("jpeg", "webp"):
        data = encode_image(np.zeros((40, 60, 3), np.uint8), encoding)
        response = client.post("/v1/reconstruct", files={"source": ("a", data)})
        assert decode_image(response.content).shape == (32, 32, 3)


def test_recombine_is_the_editors(client: TestClient, editor: Editor) -> None:
    donors = {name: as_text(PNGS[name]) for name in ("letter", "colour")}
    response = client.post("/v1/recombine", json={"donors": donors, "seed": 5})
    expected = editor.recombine({name: tensor(name) for name in donors}, [5])
    assert (decode_image(response.content) == to_pixels(expected)[0]).all()


def test_interpolate_gives_frames_side_by_side_or_one_by_one(client: TestClient, editor: Editor) -> None:
    body = {"source": as_text(PNGS["source"]), "target": as_text(PNGS["letter"]), "attributes": ["colour"], "frames": 3}
    strip = decode_image(client.post("/v1/interpolate", json=body).content)
    frames = client.post("/v1/interpolate", json=body, headers={"Accept": "application/json"}).json()["images"]
    expected = editor.interpolate(tensor("source"), tensor("letter"), ["colour"], 3)
    assert strip.shape == (32, 96, 3)
    assert len(frames) == 3
    for index, images in enumerate(expected):
        assert (strip[:, 32 * index : 32 * (index + 1)] == to_pixels(images)[0]).all()
        assert (decode_image(base64.b64decode(frames[index])) == to_pixels(images)[0]).all()


def test_interpolate_takes_names_from_a_form_and_all_by_default(client: TestClient) -> None:
    files = {"source": ("s", PNGS["source"]), "target": ("t", PNGS["letter"])}
    named = client.post("/v1/interpolate", files=files, data={"attributes": "letter,colour", "frames": "2"})
    assert named.status_code == 200, named.text
    assert named.content == client.post("/v1/interpolate", files=files, data={"frames": "2"}).content


def test_encode_gives_each_attributes_part(client: TestClient, editor: Editor) -> None:
    answer = client.post("/v1/encode", json={"source": as_text(PNGS["source"])}).json()
    code = editor.encode(tensor("source"))[0].tolist()
    assert answer["parts"] == {"letter": pytest.approx(code[:12]), "colour": pytest.approx(code[12:])}
    assert answer["model"] == "diffusegae/7"


def test_what_is_known_of_the_model(client: TestClient) -> None:
    schema = client.get("/v1/schema").json()
    assert [(each["name"], each["values"]) for each in schema["attributes"]] == [
        ("letter", ["a", "b", "c"]),
        ("colour", ["red", "blue"]),
    ]
    assert (schema["image_size"], schema["default_steps"], schema["max_steps"], schema["max_frames"]) == (32, 4, 100, 4)
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["name"], model["version"], model["stage"]) == ("diffusegae", "7", "finetune")
    assert client.get("/v1/health").json() == {"status": "ok", "model": "diffusegae/7"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (edit_body(source=as_text(b"GIF89a nonsense")), 422, ["source", "do not decode as PNG, JPEG, WEBP"]),
        (edit_body(source=as_text(PNGS["source"][:200])), 422, ["source", "do not decode"]),
        (edit_body(source="not base64!"), 422, ["source", "base64"]),
        (edit_body(source=""), 422, ["source", "at least 1"]),
        (edit_body(donors={}), 422, ["donors", "at least 1"]),
        (edit_body(donors={"shape": as_text(PNGS["letter"])}), 422, ["'shape'", "letter, colour"]),
        (edit_body(donors={"letter": as_text(b"x")}), 422, ["donors.letter", "do not decode"]),
        (edit_body(steps=99), 422, ["steps=99", "the nearest allowed counts are 91 and 100"]),
        (edit_body(steps=500), 422, ["steps=500", "at most 100"]),
        (edit_body(steps="many"), 422, ["steps", "valid integer"]),
        (edit_body(x_T="zero"), 422, ["x_T", "'inferred' or 'random'"]),
        (edit_body(seed=-1), 422, ["seed", "greater than or equal to 0"]),
        (edit_body(step=4), 422, ["step: unknown field", "source, donors, x_T, seed"]),
        ({"donors": {}}, 422, ["source", "Field required"]),
        ([], 422, ["body", "dictionary"]),
        (edit_body(source=as_text(encode_image(np.zeros((201, 200, 3), np.uint8)))), 413, ["200 x 201", "40,000"]),
        (edit_body(source="A" * 300_000), 413, ["MiB"]),
    ],
)
def test_a_wrong_edit_gets_a_reason(client: TestClient, body: Any, status: int, words: list[str]) -> None:
    require_problem(client.post("/v1/edit", json=body), status, *words)


def test_other_wrong_requests_get_a_reason(client: TestClient) -> None:
    letter, source = as_text(PNGS["letter"]), as_text(PNGS["source"])
    require_problem(client.post("/v1/recombine", json={"donors": {"letter": letter}}), 422, "none for colour")
    frames = {"source": source, "target": letter, "frames": 9}
    require_problem(client.post("/v1/interpolate", json=frames), 422, "frames=9", "at most 4")
    require_problem(client.post("/v1/interpolate", json={**frames, "frames": 1}), 422, "greater than or equal to 2")
    names = {"source": source, "target": letter, "attributes": ["size"]}
    require_problem(client.post("/v1/interpolate", json=names), 422, "'size'", "letter, colour")
    require_problem(client.post("/v1/edit", content=b"{", headers={"Content-Type": "application/json"}), 400, "JSON")
    require_problem(client.post("/v1/edit", content=b"x", headers={"Content-Type": "text/plain"}), 415, "text/plain")
    twice = [("source", ("a", PNGS["source"])), ("source", ("b", PNGS["source"]))]
    require_problem(client.post("/v1/edit", files=twice), 422, "source: given more than once")
    require_problem(client.get("/v1/nothing"), 404, "/v1/nothing")
    require_problem(client.get("/v1/edit"), 405, "GET /v1/edit")


def test_a_body_without_a_length_is_cut_off(client: TestClient) -> None:
    def pieces() -> Any:
        for _ in range(30):
            yield b"x" * 10_000

    response = client.post("/v1/edit", content=pieces(), headers={"Content-Type": "application/json"})
    require_problem(response, 413, "MiB")


def test_a_busy_model_is_a_503(client: TestClient, service: Any) -> None:
    service.failure = Problem(503, "Overloaded", "try again", {"Retry-After": "2"})
    response = client.post("/v1/edit", json=edit_body())
    require_problem(response, 503, "try again")
    assert response.headers["retry-after"] == "2"
    require_problem(client.get("/v1/health"), 503)


def test_the_description_covers_both_kinds_of_body_and_the_page_needs_nothing_else(client: TestClient) -> None:
    api = client.get("/openapi.json").json()
    posts = {path for path, methods in api["paths"].items() if "post" in methods}
    assert posts == {f"/v1/{name}" for name in ("edit", "recombine", "interpolate", "reconstruct", "encode")}
    operation = api["paths"]["/v1/edit"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "multipart/form-data"}
    assert set(operation["responses"]["200"]["content"]) == {"image/png", "application/json"}
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["source"] == {"type": "string", "format": "binary"}
    page = client.get("/docs").text
    assert "openapi.json" in page
    assert "://" not in page
