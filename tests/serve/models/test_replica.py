"""Tasks on a loaded model: every kind gives what the editor gives; progress, cancelling and the event loop."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.operations import Edit, Generate, Interpolate, PictureOperation, Recombine, Reconstruct
from diffusegae.pixels import to_pixels, to_tensor
from serve.models.replica import LoadedModel
from serve.problems import Problem
from serve.tasks import GeneratedImages, SamplingProgress, Task

GENERATOR = np.random.default_rng(0)
A, B = (to_tensor(pixels)[None] for pixels in GENERATOR.integers(0, 256, (2, 32, 32, 3), np.uint8))
QUICK, LONG = SamplingConfig(steps=4), SamplingConfig(steps=100)
VALUES = {"letter": torch.randn(3, 12), "colour": torch.randn(2, 12)}
X_T = torch.from_numpy(np.float32(GENERATOR.standard_normal((1, 3, 32, 32))))
CODE = torch.from_numpy(np.float32(GENERATOR.standard_normal((1, 24))))


@pytest.fixture
def model(editor: Editor) -> Iterator[LoadedModel]:
    loaded = LoadedModel(editor, VALUES, "diffusegae/7", max_images=4, cache_bytes=10**7)
    yield loaded
    loaded.close()


OPERATIONS: list[tuple[PictureOperation, PictureOperation]] = [  # and what each means
    (
        Edit(A, {"letter": B, "colour": "red"}, {"colour": 0.5}),
        Edit(A, {"letter": B, "colour": VALUES["colour"][0]}, {"colour": 0.5}),
    ),
    (Edit(A, {"letter": B}, x_T=[3]), Edit(A, {"letter": B}, x_T=[3])),
    (Recombine({"letter": "b", "colour": B}, X_T), Recombine({"letter": VALUES["letter"][1], "colour": B}, X_T)),
    (Interpolate(A, B, ("letter",), 3), Interpolate(A, B, ("letter",), 3)),
    (Reconstruct(A), Reconstruct(A)),
    (Generate(CODE, [5]), Generate(CODE, [5])),
]


@pytest.mark.parametrize(("operation", "meant"), OPERATIONS)
def test_a_task_gives_what_the_editor_gives(
    model: LoadedModel, editor: Editor, operation: PictureOperation, meant: PictureOperation
) -> None:
    task = Task(operation, QUICK)
    generated = asyncio.run(model.generate(task))
    expected = to_pixels(editor.perform(meant))
    assert generated.pictures.shape == expected.shape
    assert np.abs(generated.pictures.astype(int) - expected).max() <= 1
    assert generated.model == "diffusegae/7"
    assert (asyncio.run(model.generate(task)).pictures == generated.pictures).all()  # from the cache, to the last bit


def test_the_noise_that_encode_gives_brings_the_picture_back(model: LoadedModel) -> None:
    encoded = asyncio.run(model.encode(A, QUICK))
    assert encoded.noise is not None
    decoded = Generate(torch.tensor(encoded.code)[None], torch.tensor(encoded.noise)[None])
    again = asyncio.run(model.generate(Task(decoded, QUICK)))
    assert (again.pictures == asyncio.run(model.generate(Task(Reconstruct(A), QUICK))).pictures).all()


def test_following_tells_steps_then_the_pictures(model: LoadedModel) -> None:
    task = Task(Edit(A, {"letter": B}), LONG)

    async def follow() -> list[SamplingProgress | GeneratedImages]:
        return [item async for item in model.follow(task)]

    *progress, last = asyncio.run(follow())
    assert isinstance(last, GeneratedImages)
    assert (last.pictures == asyncio.run(model.generate(task)).pictures).all()
    told = [(item.step, item.pictures is not None) for item in progress if isinstance(item, SamplingProgress)]
    assert len(told) >= 3
    assert told == sorted(told)
    assert all(isinstance(item, SamplingProgress) and item.steps == task.steps == 200 for item in progress)
    assert any(shown for _, shown in told)


def test_who_stops_listening_frees_the_model(model: LoadedModel) -> None:
    async def listen_briefly() -> None:
        items = model.follow(Task(Reconstruct(A), LONG))
        await anext(items)
        await items.aclose()  # type: ignore[attr-defined]
        waiting = asyncio.create_task(model.generate(Task(Reconstruct(B), LONG)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for _ in range(200):
            if model.engine.num_active == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("a request that was given up is still being worked on")

    asyncio.run(listen_briefly())
    assert model.engine.counters.calls < 200


def test_the_event_loop_stays_free_while_denoising(model: LoadedModel) -> None:
    async def use() -> int:
        painting = asyncio.create_task(model.generate(Task(Reconstruct(A), LONG)))
        turns = 0
        while not painting.done():
            await asyncio.sleep(0.001)
            turns += 1
        return turns

    assert asyncio.run(use()) > 20


@pytest.mark.parametrize(("number", "paths"), list(enumerate([2, 1, 1, 2, 2, 1])))
def test_steps_count_the_inversion(number: int, paths: int) -> None:
    assert Task(OPERATIONS[number][0], QUICK).steps == paths * QUICK.steps


def test_a_value_that_this_version_does_not_know_is_a_problem(model: LoadedModel) -> None:
    model._values = {"letter": torch.full((3, 12), float("nan"))}
    for donors in ({"letter": "b"}, {"colour": "red"}):
        with pytest.raises(Problem, match="knows no such value"):
            asyncio.run(model.generate(Task(Edit(A, donors, x_T=[1]), QUICK)))
