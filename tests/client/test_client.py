"""Both clients against the real API: what they bring is what the bare editor makes."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import APIRouter, FastAPI, Response
from PIL import Image

from diffusegae.client import (
    AsyncClient,
    BadRequestError,
    Client,
    NotFoundError,
    Picture,
    Progress,
    UnavailableError,
)
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.images import encode_image
from diffusegae.pixels import to_pixels, to_tensor
from serve.http.api import create_api
from serve.http.checks import Limits
from serve.problems import Problem
from tests.client.fronts import Front
from tests.serve.conftest import LocalService

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "client.md"
RNG = np.random.default_rng(0)
SOURCE, LETTER, COLOUR = (RNG.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(3))


def tensor(pixels: Any) -> torch.Tensor:
    return to_tensor(pixels)[None]


def only(images: torch.Tensor) -> Any:
    return to_pixels(images)[0]


def same(picture: Picture, pixels: Any) -> bool:
    return picture.pixels.shape == pixels.shape and bool((picture.pixels == pixels).all())


def test_edit_is_the_editors_whatever_form_a_picture_has(
    front: Front, address: str, editor: Editor, tmp_path: Path
) -> None:
    path = tmp_path / "letter.png"
    path.write_bytes(encode_image(LETTER))
    expected = only(editor.edit(tensor(SOURCE), {"letter": tensor(LETTER)}))
    for donor in (path, str(path), path.read_bytes(), LETTER, Image.fromarray(LETTER), Picture(path.read_bytes(), "")):
        picture = front.ask(address, lambda client, donor=donor: client.edit(SOURCE, donors={"letter": donor}))
        assert same(picture, expected)
        assert (picture.media_type, picture.model) == ("image/png", "diffusegae/7")


def test_the_options_of_an_edit_arrive(front: Front, address: str, service: LocalService) -> None:
    picture = front.ask(
        address,
        lambda client: client.edit(
            SOURCE,
            donors={"colour": COLOUR},
            values={"letter": "b"},
            strengths={"colour": 0.25},
            x_T="random",
            steps=2,
            sampler="dpm++",
            seed=np.int64(3),
            size=48,
            format="webp",
        ),
        model="diffusegae",
    )
    ((model, task),) = service.asked
    assert model == "diffusegae"
    edit = task.operation
    assert (edit.donors["letter"], edit.strengths) == ("b", {"colour": 0.25})
    assert (to_pixels(edit.donors["colour"])[0] == COLOUR).all()
    assert tuple(edit.x_T) == (3,)
    assert (task.sampling.steps, task.sampling.sampler) == (2, "dpm++")
    assert (picture.media_type, picture.pixels.shape) == ("image/webp", (48, 48, 3))


def test_another_model_is_asked_by_its_name(front: Front, address: str, service: LocalService) -> None:
    front.ask(address, lambda client: client.reconstruct(SOURCE), model="plain")
    assert service.asked[0][0] == "plain"
    with pytest.raises(NotFoundError, match="the models are: diffusegae, plain"):
        front.ask(address, lambda client: client.schema(), model="big")


def test_recombine_and_reconstruct_are_the_editors(front: Front, address: str, editor: Editor) -> None:
    picture = front.ask(address, lambda client: client.recombine(donors={"letter": LETTER, "colour": COLOUR}, seed=5))
    assert same(picture, only(editor.recombine({"letter": tensor(LETTER), "colour": tensor(COLOUR)}, [5])))
    again = front.ask(address, lambda client: client.reconstruct(SOURCE))
    assert same(again, only(editor.reconstruct(tensor(SOURCE))))
    random = front.ask(address, lambda client: client.reconstruct(SOURCE, x_T="random", seed=2))
    assert same(random, only(editor.reconstruct(tensor(SOURCE), [2])))


def test_interpolate_gives_the_editors_frames(front: Front, address: str, editor: Editor) -> None:
    frames = front.ask(address, lambda client: client.interpolate(SOURCE, LETTER, attributes=["colour"], frames=3))
    expected = editor.interpolate(tensor(SOURCE), tensor(LETTER), ["colour"], 3)
    assert [same(frame, only(images)) for frame, images in zip(frames, expected, strict=True)] == [True] * 3
    assert {(frame.media_type, frame.model) for frame in frames} == {("image/png", "diffusegae/7")}


def test_animate_gives_one_moving_picture(front: Front, address: str, editor: Editor, tmp_path: Path) -> None:
    first = only(editor.interpolate(tensor(SOURCE), tensor(LETTER), editor.schema.names, 3)[0])
    moving = front.ask(address, lambda client: client.animate(SOURCE, LETTER, frames=3, seconds=0.5))
    assert (moving.media_type, getattr(moving.image, "n_frames", 1)) == ("image/apng", 3)
    assert moving.image.info["duration"] == 500
    assert same(moving, first)
    job = front.ask(address, lambda client: client.jobs.animate(SOURCE, LETTER, frames=3, format="gif"))
    assert front.ask(address, lambda client: client.jobs.reopen(job.id).state()).is_over
    gif = submit_and_wait(front, address, lambda client: client.jobs.animate(SOURCE, LETTER, frames=3, format="gif"))
    assert (gif.media_type, getattr(gif.image, "n_frames", 1)) == ("image/gif", 3)
    gif.save(tmp_path / "a.gif")


def submit_and_wait(front: Front, address: str, submit: Any, **wait: Any) -> Any:
    """Submit a job and wait for it with one and the same client."""

    def ask(client: Any) -> Any:
        if isinstance(client, Client):
            return submit(client).wait(**wait)

        async def both() -> Any:
            return await (await submit(client)).wait(**wait)

        return both()

    return front.ask(address, ask)


def test_a_code_there_and_back(front: Front, address: str, editor: Editor) -> None:
    plain = front.ask(address, lambda client: client.encode(SOURCE))
    assert plain.x_T is None
    code = front.ask(address, lambda client: client.encode(SOURCE, noise=True, steps=2, sampler="ddim"))
    codes = editor.encode(tensor(SOURCE))
    assert list(code.parts) == ["letter", "colour"]
    assert np.concatenate(list(code.parts.values())) == pytest.approx(codes[0].numpy(), abs=1e-6)
    assert {part.dtype for part in code.parts.values()} == {np.dtype(np.float32)}
    two_steps = editor.with_sampling(SamplingConfig(sampler="ddim", steps=2, clip=editor.sampling.clip))
    noise = two_steps.infer_noise(tensor(SOURCE), codes)
    assert code.x_T is not None
    assert code.x_T.shape == (3, 32, 32)
    assert np.array_equal(code.x_T, noise[0].numpy())
    assert code.model == "diffusegae/7"
    given = front.ask(address, lambda client: client.decode(code.parts, x_T=code.x_T))
    assert same(given, only(editor.generate(codes, noise)))
    seeded = front.ask(
        address, lambda client: client.decode({name: list(code.parts[name]) for name in code.parts}, seed=4)
    )
    assert same(seeded, only(editor.decode(codes, [4])))


def test_an_edit_is_followed_to_its_picture(front: Front, address: str, editor: Editor, service: LocalService) -> None:
    *steps, picture = front.follow(address, lambda client: client.follow.edit(SOURCE, donors={"letter": LETTER}))
    assert same(picture, only(editor.edit(tensor(SOURCE), {"letter": tensor(LETTER)})))
    assert picture.model == "diffusegae/7"
    assert [(each.step, each.steps, len(each.pictures)) for each in steps] == [(0, 4, 0), (1, 4, 1)]
    assert same(steps[1].pictures[0], picture.pixels)
    *_, frames = front.follow(address, lambda client: client.follow.interpolate(SOURCE, LETTER, frames=3))
    assert len(frames) == 3


def test_a_job_from_submission_to_result(front: Front, address: str, editor: Editor) -> None:
    seen: list[Progress] = []
    picture = submit_and_wait(
        front, address, lambda client: client.jobs.reconstruct(SOURCE, format="png"), on_progress=seen.append
    )
    assert same(picture, only(editor.reconstruct(tensor(SOURCE))))
    assert [(each.step, each.steps) for each in seen] == [(4, 4)]
    job = front.ask(address, lambda client: client.jobs.interpolate(SOURCE, LETTER, frames=2))
    state = front.ask(address, lambda client: client.jobs.reopen(job.id).state())
    assert (state.id, state.status, state.step, state.problem) == (job.id, "done", 4, None)
    *_, frames = front.follow(address, lambda client: client.jobs.reopen(job.id).follow())
    assert len(frames) == len(front.ask(address, lambda client: client.jobs.reopen(job.id).result())) == 2
    front.ask(address, lambda client: client.jobs.reopen(job.id).cancel())
    with pytest.raises(NotFoundError, match="no job"):  # cancelled is forgotten
        front.ask(address, lambda client: client.jobs.reopen(job.id).result())
    with pytest.raises(NotFoundError, match="no job"):
        front.ask(address, lambda client: client.jobs.reopen("another").state())


def test_what_is_known_of_the_models(front: Front, address: str) -> None:
    schema = front.ask(address, lambda client: client.schema())
    assert [(each.name, each.values, each.width) for each in schema.attributes] == [
        ("letter", ("a", "b", "c"), 12),
        ("colour", ("red", "blue"), 12),
    ]
    assert schema.attributes[0].centroid_values == ("a", "b", "c")
    assert (schema.image_size, schema.default_steps, schema.max_steps, schema.max_frames) == (32, 4, 100, 4)
    assert (schema.samplers, schema.model, schema.max_size) == (("ddim", "dpm++"), "diffusegae/7", 256)
    assert 4 in schema.step_counts
    models = front.ask(address, lambda client: client.models())
    assert [(model.alias, model.version) for model in models] == [("diffusegae", "7"), ("plain", "6")]
    assert front.ask(address, lambda client: client.health()).model == "diffusegae/7"
    assert front.ask(address, lambda client: client.gallery()) == ()


def test_refusals_keep_the_services_reasons(front: Front, address: str, service: LocalService) -> None:
    for asked, kind, reason in (
        (lambda client: client.edit(SOURCE), BadRequestError, "donors"),
        (lambda client: client.edit(SOURCE, values={"shape": "round"}), BadRequestError, "'shape'.*letter, colour"),
        (lambda client: client.reconstruct(SOURCE, steps=99), BadRequestError, "steps=99.*91 and 100"),
        (lambda client: client.reconstruct(b"no picture"), BadRequestError, "source.*decode"),
        (lambda client: client.reconstruct(SOURCE, step=4), BadRequestError, "step: unknown field"),
        (lambda client: client.decode({"letter": [0.0] * 11}), BadRequestError, "none for colour"),
    ):
        with pytest.raises(kind, match=reason) as raised:
            front.ask(address, asked)
        assert raised.value.type.startswith("/problems/")
    assert front.pauses == []
    service.failure = Problem(503, "Overloaded", "try again", {"Retry-After": "2"})
    for asked in (lambda client: client.health(), lambda client: client.edit(SOURCE, values={"letter": "a"})):
        with pytest.raises(UnavailableError, match="try again"):
            front.ask(address, asked)
    with pytest.raises(UnavailableError, match="try again"):
        front.follow(address, lambda client: client.follow.reconstruct(SOURCE))
    assert len(front.pauses) == 9
    assert min(front.pauses) >= 2


class ShownPictures:
    """A gallery of one picture; its truth is what it was asked for."""

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/gallery")
        router.add_api_route("", lambda: {"items": [{"key": "k/1", "labels": {"letter": "a"}}]})
        router.add_api_route("/{key}/truth", self.truth)
        router.add_api_route("/{key}", self.show)
        return router

    def show(self, key: str) -> Response:
        if key != "k1":
            raise Problem(404, "Unknown picture", f"the gallery has no picture {key!r}")
        return Response(encode_image(SOURCE), media_type="image/png")

    def truth(self, key: str, letter: str) -> Response:
        assert (key, letter) == ("k1", "k2")
        return Response(encode_image(LETTER), media_type="image/png")


def test_the_gallery(service: LocalService, limits: Limits) -> None:
    transport = httpx.ASGITransport(create_api(service, limits, gallery=ShownPictures()))

    async def ask() -> None:
        async with AsyncClient("http://service", transport=transport, model="plain") as client:
            (item,) = await client.gallery()
            assert (item.key, item.labels) == ("k/1", {"letter": "a"})
            assert same(await client.gallery_picture("k1"), SOURCE)
            assert same(await client.gallery_truth("k1", donors={"letter": "k2"}), LETTER)
            with pytest.raises(NotFoundError, match="no picture 'k2'"):
                await client.gallery_picture("k2")

    asyncio.run(ask())


def test_many_at_once_over_asgi(api: FastAPI, editor: Editor) -> None:
    async def ask() -> list[Picture]:
        async with AsyncClient("http://service", transport=httpx.ASGITransport(api)) as client:
            asked = [client.reconstruct(SOURCE, x_T="random", seed=seed) for seed in range(4)]
            return list(await asyncio.gather(*asked))

    for seed, picture in enumerate(asyncio.run(ask())):
        assert same(picture, only(editor.reconstruct(tensor(SOURCE), [seed])))


def test_streams_over_asgi(api: FastAPI) -> None:
    async def ask() -> list[Any]:
        async with AsyncClient("http://service", transport=httpx.ASGITransport(api)) as client:
            return [event async for event in client.follow.reconstruct(SOURCE)]

    assert [type(event) for event in asyncio.run(ask())] == [Progress, Progress, Picture]


def test_the_page_of_documentation_runs(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, pixels in (("a.png", SOURCE), ("b.png", LETTER), ("c.png", COLOUR)):
        Path(name).write_bytes(encode_image(pixels))
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert len(blocks) >= 5
    known: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block.replace("http://127.0.0.1:8000", address), "docs/client.md", "exec"), known)
    assert Path("edited.png").is_file()


def test_importing_the_client_imports_nothing_heavy() -> None:
    program = """
import sys, diffusegae.client
heavy = {"torch", "ray", "mlflow", "fastapi", "starlette", "pyarrow", "scipy", "jaxtyping"}
ours = {name for name in sys.modules if name.partition(".")[0] in ("diffusegae", "serve", "jobs")}
print(sorted(heavy & set(sys.modules)), sorted(ours - {n for n in ours if n.startswith("diffusegae.client")}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['diffusegae']"
