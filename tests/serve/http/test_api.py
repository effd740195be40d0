import asyncio
import base64
import io
import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from fastapi import APIRouter
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image
from starlette.middleware import Middleware

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.operations import Edit
from diffusegae.images import decode_image, encode_image
from diffusegae.pixels import to_pixels, to_tensor
from serve.http.api import create_api
from serve.http.checks import Limits
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
    assert [each["centroid_values"] for each in schema["attributes"]] == [["a", "b", "c"], []]
    assert schema["step_counts"][-3:] == [84, 91, 100]
    assert (schema["model"], schema["samplers"], schema["max_size"]) == ("diffusegae/7", ["ddim", "dpm++"], 256)
    models = client.get("/v1/models").json()["models"]
    assert [(model["alias"], model["version"]) for model in models] == [("diffusegae", "7"), ("plain", "6")]
    assert client.get("/v1/schema?model=plain").json()["model"] == "diffusegae/6"
    assert client.get("/v1/gallery").json() == {"items": []}
    assert client.get("/v1/health").json() == {"status": "ok", "model": "diffusegae/7"}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (
            edit_body(source=as_text(b"GIF89a nonsense")),
            422,
            ["source", "a GIF file; send a whole picture as one of PNG, JPEG, WEBP"],
        ),
        (edit_body(source=as_text(PNGS["source"][:200])), 422, ["source", "do not decode"]),
        (edit_body(source="not base64!"), 422, ["source", "base64"]),
        (edit_body(source=""), 422, ["source", "at least 1"]),
        (edit_body(source=5), 422, ["source=5", "base64, as text"]),
        (edit_body(donors={}), 422, ["donors and values are both empty", "letter, colour"]),
        (edit_body(donors={"shape": as_text(PNGS["letter"])}), 422, ["'shape'", "letter, colour"]),
        (edit_body(donors={"letter": as_text(b"x")}), 422, ["donors.letter", "do not decode"]),
        (edit_body(steps=99), 422, ["steps=99", "the nearest allowed counts are 91 and 100"]),
        (edit_body(steps=500), 422, ["steps=500", "at most 100"]),
        (edit_body(steps="many"), 422, ["steps='many'", "valid integer"]),
        (edit_body(steps="4"), 422, ["steps='4'", "valid integer"]),
        (edit_body(steps=True), 422, ["steps=true", "valid integer"]),
        (edit_body(steps=4.5), 422, ["steps=4.5", "valid integer"]),
        (edit_body(sampler="euler"), 422, ["sampler='euler'", "'ddim' or 'dpm++'"]),
        (edit_body(size=15), 422, ["size=15", "greater than or equal to 16"]),
        (edit_body(size=257), 422, ["size=257", "at most 256"]),
        (edit_body(format="gif"), 422, ["format='gif'", "'png', 'jpeg' or 'webp'"]),
        (edit_body(strengths={"letter": 1.1}), 422, ["strengths.letter=1.1", "less than or equal to 1"]),
        (edit_body(strengths={"letter": -0.1}), 422, ["strengths.letter=-0.1", "greater than or equal to 0"]),
        (edit_body(strengths={"colour": 1}), 422, ["strengths.colour=1", "neither donors nor values"]),
        (edit_body(strengths={"shape": 1}), 422, ["strengths", "'shape'", "letter, colour"]),
        (edit_body(values={"letter": "a"}), 422, ["donors.letter and values.letter", "leave one"]),
        (edit_body(values={"colour": "red"}), 422, ["values.colour='red'", "no values of colour", "donors.colour"]),
        (edit_body(donors={}, values={"letter": "z"}), 422, ["values.letter='z'", "a, b, c"]),
        (edit_body(donors={}, values={"shape": "z"}), 422, ["values", "'shape'", "letter, colour"]),
        (edit_body(donors={}, values={"letter": 1}), 422, ["values.letter=1", "valid string"]),
        (edit_body(x_T="zero"), 422, ["x_T", "'inferred' or 'random'"]),
        (edit_body(seed=-1), 422, ["seed=-1", "greater than or equal to 0"]),
        (edit_body(seed=2**63), 422, ["seed=", "less than or equal to"]),
        (edit_body(step=4), 422, ["step: unknown field", "seed, size, format, source, donors"]),
        ({"donors": {}}, 422, ["source", "Field required"]),
        ([], 422, ["body: Input should be an object"]),
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
    usual = client.post("/v1/interpolate", json={"source": source, "target": letter})
    assert decode_image(usual.content).shape == (32, 4 * 32, 3)  # as many as are allowed, where that is less than usual
    names = {"source": source, "target": letter, "attributes": ["size"]}
    require_problem(client.post("/v1/interpolate", json=names), 422, "'size'", "letter, colour")
    require_problem(client.post("/v1/edit", content=b"{", headers={"Content-Type": "application/json"}), 400, "JSON")
    require_problem(client.post("/v1/edit", content=b"x", headers={"Content-Type": "text/plain"}), 415, "text/plain")
    twice = [("source", ("a", PNGS["source"])), ("source", ("b", PNGS["source"]))]
    require_problem(client.post("/v1/edit", files=twice), 422, "source: given more than once")
    require_problem(client.get("/v1/nothing"), 404, "/v1/nothing")
    require_problem(client.get("/v1/edit"), 405, "GET /v1/edit")
    assert client.get("/v1/edit").headers["allow"] == "POST"
    assert client.post("/v1/jobs/a").headers["allow"] == "GET, DELETE"


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


def test_values_by_name_and_strengths_are_the_editors(client: TestClient, editor: Editor, centroids: Any) -> None:
    body = edit_body(donors={}, values={"letter": "b"}, strengths={"letter": 0.25})
    donors = {"letter": torch.tensor(centroids["letter"]["b"])}
    expected = editor.perform(Edit(tensor("source"), donors, {"letter": 0.25}))
    response = client.post("/v1/edit", json=body)
    assert (decode_image(response.content) == to_pixels(expected)[0]).all()
    form = {"values.letter": "b", "strengths.letter": "0.25"}
    assert client.post("/v1/edit", files={"source": PNGS["source"]}, data=form).content == response.content
    nothing = client.post("/v1/edit", json=edit_body(strengths={"letter": 0})).content
    assert nothing == client.post("/v1/reconstruct", json={"source": as_text(PNGS["source"])}).content


def test_the_sampler_is_asked_for_by_name(client: TestClient, editor: Editor) -> None:
    body = {"source": as_text(PNGS["source"]), "sampler": "dpm++", "steps": 5, "x_T": "random"}
    sampling = SamplingConfig(sampler="dpm++", steps=5, clip=editor.sampling.clip)
    expected = editor.with_sampling(sampling).reconstruct(tensor("source"), [0])
    assert (decode_image(client.post("/v1/reconstruct", json=body).content) == to_pixels(expected)[0]).all()


def test_codes_and_noise_bring_the_picture_back(client: TestClient) -> None:
    source = {"source": as_text(PNGS["source"])}
    code = client.post("/v1/encode", json={**source, "noise": True}).json()
    assert code["model"] == "diffusegae/7"
    assert code["x_T"] is not None
    body = {"parts": code["parts"], "x_T": code["x_T"]}
    decoded = client.post("/v1/decode", json=body)
    assert decoded.content == client.post("/v1/reconstruct", json=source).content
    assert decoded.headers["x-model"] == "diffusegae/7"
    form = {f"parts.{name}": ",".join(map(repr, part)) for name, part in code["parts"].items()}
    files = {"x_T": ("noise", base64.b64decode(code["x_T"]))}
    assert client.post("/v1/decode", data=form, files=files).content == decoded.content
    drawn = client.post("/v1/decode", json={"parts": code["parts"], "seed": 3}).content
    assert drawn == client.post("/v1/reconstruct", json={**source, "x_T": "random", "seed": 3}).content


def parts(**changes: Any) -> dict[str, Any]:
    return {"letter": [0.0] * 12, "colour": [0] * 12, **changes}


def noise(value: float, count: int = 3 * 32 * 32) -> str:
    return as_text(np.full(count, value, "<f4").tobytes())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"parts": {"letter": [0.0] * 12}}, ["parts", "none for colour"]),
        ({"parts": parts(shape=[0.0])}, ["parts", "'shape'", "letter, colour"]),
        ({"parts": parts(letter=[0.0] * 11)}, ["parts.letter: 11 numbers", "expected 12"]),
        ({"parts": parts(letter=["0.0"] * 12)}, ["parts.letter.0", "valid number"]),
        ({"parts": parts(letter="0,0")}, ["parts.letter='0,0': Input should be a list"]),
        ({"parts": parts(letter=[1e5] * 12)}, ["parts.letter.0=100000.0", "less than or equal to 1000"]),
        ({"parts": parts(), "x_T": "inferred"}, ["x_T", "random"]),
        ({"parts": parts(), "x_T": 5}, ["x_T=5", "'random'"]),
        ({"parts": parts(), "x_T": noise(0, 3)}, ["x_T: 12 bytes", "expected 12288", "[3, 32, 32]"]),
        ({"parts": parts(), "x_T": noise(np.nan)}, ["x_T", "not finite"]),
        ({"parts": parts(), "x_T": noise(-np.inf)}, ["x_T", "not finite"]),
        ({"parts": parts(), "x_T": noise(1e30)}, ["x_T", "beyond 1000"]),
    ],
)
def test_a_wrong_code_gets_a_reason(client: TestClient, body: Any, words: list[str]) -> None:
    require_problem(client.post("/v1/decode", json=body), 422, *words)


def test_recombine_takes_names_and_given_noise(client: TestClient, service: Any) -> None:
    body = {"donors": {"colour": as_text(PNGS["colour"])}, "values": {"letter": "a"}, "x_T": noise(0.5)}
    assert client.post("/v1/recombine", json=body).status_code == 200
    ((model, task),) = service.asked
    assert model == "diffusegae"
    assert task.operation.donors["letter"] == "a"
    assert list(task.operation.donors) == ["letter", "colour"]
    assert task.operation.x_T.shape == (1, 3, 32, 32)
    assert (task.operation.x_T == 0.5).all()
    both = {**body, "values": {"letter": "a", "colour": "red"}}
    require_problem(client.post("/v1/recombine", json=both), 422, "donors.colour and values.colour")


def test_a_model_is_asked_for_by_its_alias(client: TestClient, service: Any) -> None:
    body = edit_body()
    assert client.post("/v1/edit?model=plain", json=body).status_code == 200
    assert [model for model, _ in service.asked] == ["plain"]
    require_problem(client.post("/v1/edit?model=best", json=body), 404, "model='best'", "diffusegae, plain")
    require_problem(client.get("/v1/schema?model="), 404, "diffusegae, plain")
    require_problem(client.post("/v1/edit?modle=plain", json=body), 422, "'modle'", "only query parameter is model")
    require_problem(client.post("/v1/edit?model=plain&model=plain", json=body), 422, "more than once")
    named = edit_body(donors={}, values={"letter": "a"})
    require_problem(client.post("/v1/edit?model=plain", json=named), 422, "diffusegae/6 knows no values by name")


def test_json_names_the_format_of_its_pictures(client: TestClient) -> None:
    body = {"source": as_text(PNGS["source"]), "target": as_text(PNGS["letter"]), "frames": 2, "size": 48}
    for asked, sent in (("jpeg", "jpeg"), ("gif", "png")):
        answer = client.post("/v1/interpolate", json={**body, "format": asked}, headers={"Accept": "application/json"})
        content = answer.json()
        assert (content["format"], content["model"]) == (sent, "diffusegae/7")
        for text in content["images"]:
            with Image.open(io.BytesIO(base64.b64decode(text))) as image:
                assert (image.format, image.size) == (sent.upper(), (48, 48))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "image/webp"),
        ("image/*", "image/webp"),
        ("", "image/webp"),
        ("application/json, text/plain, */*", "application/json"),
        ("image/png, application/json;q=0.1", "application/json"),
        ("text/event-stream", "text/event-stream"),
    ],
)
def test_the_answer_is_what_is_accepted(client: TestClient, accept: str, kind: str) -> None:
    response = client.post("/v1/edit", json=edit_body(format="webp"), headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == kind
    assert response.headers["vary"] == "Accept"
    assert response.headers["x-model"] == "diffusegae/7"


def test_what_nobody_can_answer_is_a_406(client: TestClient, service: Any) -> None:
    response = client.post("/v1/edit", json=edit_body(), headers={"Accept": "image/jpeg"})
    require_problem(response, 406, "'image/jpeg'", "image/png, application/json, text/event-stream")
    response = client.post("/v1/encode", json={"source": as_text(PNGS["source"])}, headers={"Accept": "text/html"})
    require_problem(response, 406, "application/json")
    assert not service.asked


JSON_BODIES = {
    "NaN": (b'{"parts": {"letter": [NaN]}}', 400, "NaN"),
    "infinity": (b'{"seed": -Infinity}', 400, "Infinity"),
    "deep": (b"[" * 100_000, 400, "deep"),
    "long number": (b'{"seed": ' + b"9" * 5000 + b"}", 400, "JSON"),
    "overflowing number": (b'{"source": "", "seed": 1e999}', 422, "seed=inf"),
    "UTF-16": ('{"source": ""}'.encode("utf-16"), 400, "UTF-8"),
    "no UTF-8": (b'{"source": "\xff"}', 400, "UTF-8 at byte 12"),
    "twice": (b'{"source": "", "source": ""}', 422, "'source': given more than once"),
    "lone surrogate": (b'{"source": "", "x_T": "\\ud800"}', 422, "x_T"),
    "surrogate key": (b'{"\\ud800": 1}', 422, "unicode"),
    "long key": (b'{"' + b"k" * 100_000 + b'": 1}', 422, "unknown field"),
    "many keys": (json.dumps({f"k{number}": 1 for number in range(9000)}).encode(), 422, "and 8991 more"),
}


@pytest.mark.parametrize(("body", "status", "word"), JSON_BODIES.values(), ids=JSON_BODIES)
def test_json_that_no_program_writes_gets_a_reason(client: TestClient, body: bytes, status: int, word: str) -> None:
    response = client.post("/v1/reconstruct", content=body, headers={"Content-Type": "application/json"})
    require_problem(response, status, word)
    assert len(response.content) < 5000


FORMS = {
    "no boundary": (b"--x\r\n\r\n--x--", "multipart/form-data", "boundary"),
    "not a form": (b"nonsense", "multipart/form-data; boundary=x", "RFC 7578"),
    "no name": (
        b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
        "multipart/form-data; boundary=x",
        "name",
    ),
    "too many": (
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 300 + b"--x--\r\n",
        "multipart/form-data; boundary=x",
        "Too many fields",
    ),
}


@pytest.mark.parametrize(("body", "content_type", "word"), FORMS.values(), ids=FORMS)
def test_a_malformed_form_gets_a_reason(client: TestClient, body: bytes, content_type: str, word: str) -> None:
    response = client.post("/v1/edit", content=body, headers={"Content-Type": content_type})
    require_problem(response, 400, word)


def test_problems_of_a_kind_have_one_type(client: TestClient) -> None:
    kinds = {
        "/problems/unknown-attribute": edit_body(donors={"shape": as_text(PNGS["letter"])}),
        "/problems/unknown-value": edit_body(donors={}, values={"letter": "z"}),
        "/problems/steps-not-possible": edit_body(steps=99),
        "/problems/not-a-picture": edit_body(source=as_text(b"x")),
        "/problems/invalid-request": edit_body(step=1),
    }
    for kind, body in kinds.items():
        assert client.post("/v1/edit", json=body).json()["type"] == kind
    assert client.get("/nowhere").json()["type"] == "/problems/not-found"


def test_a_problem_travels_between_processes() -> None:
    problem = pickle.loads(pickle.dumps(Problem(503, "Overloaded", "wait", {"Retry-After": "2"})))
    assert (problem.details.type, problem.headers) == ("/problems/overloaded", {"Retry-After": "2"})


def test_an_error_of_ours_tells_nothing(client: TestClient, service: Any, caplog: pytest.LogCaptureFixture) -> None:
    service.failure = RuntimeError("the password is hunter2")
    response = client.post("/v1/edit", json=edit_body())
    require_problem(response, 500, "try again")
    assert "hunter2" not in response.text + caplog.text
    assert "RuntimeError" in caplog.text


def test_middlewares_are_put_around_the_routes(service: Any, limits: Limits) -> None:
    class Refusing:
        def __init__(self, app: Any, why: str) -> None:
            self.why = why

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise Problem(401, "Token missing", self.why, {"WWW-Authenticate": "Bearer"})

    api = create_api(service, limits, middleware=[Middleware(Refusing, why="send a token")])
    response = TestClient(api).get("/v1/schema")
    require_problem(response, 401, "send a token")
    assert response.headers["www-authenticate"] == "Bearer"


def test_the_gallery_and_the_pages_are_there(service: Any, limits: Limits) -> None:
    class Gallery:
        def router(self) -> APIRouter:
            router = APIRouter(prefix="/gallery")
            router.add_api_route("/{key}", lambda key: {"key": key})
            return router

    client = TestClient(create_api(service, limits, gallery=Gallery()))
    assert client.get("/v1/gallery/abc").json() == {"key": "abc"}
    page = client.get("/docs").text
    assert "openapi.json" in page
    assert "://" not in page


def test_a_request_is_given_up_when_its_client_goes_away(service: Any, limits: Limits) -> None:
    given_up = asyncio.Event()

    async def never(model: str, task: Any) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            given_up.set()

    service.generate = never
    body = json.dumps(edit_body()).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None: ...

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/edit",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }

    async def use() -> None:
        await asyncio.wait_for(create_api(service, limits)(scope, receive, send), 20)
        assert given_up.is_set()

    asyncio.run(use())
