"""Tasks on a loaded model: every kind gives what the editor gives; progress, cancelling and the event loop."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from diffusegae.editing import recipes
from diffusegae.editing.editor import Editor
from diffusegae.pixels import to_pixels, to_tensor
from serve.models.replica import LoadedModel, Recipes, planned_steps
from serve.problems import Problem
from serve.tasks import (
    Change,
    Decode,
    Edit,
    Encode,
    Interpolate,
    Painted,
    PictureTask,
    Progress,
    Recombine,
    Reconstruct,
    Sampling,
)

GENERATOR = np.random.default_rng(0)
A, B = GENERATOR.integers(0, 256, (2, 32, 32, 3), np.uint8)
IMAGE_A, IMAGE_B = to_tensor(A)[None], to_tensor(B)[None]
QUICK, LONG = Sampling(4, "ddim"), Sampling(100, "ddim")
VALUES = {"letter": torch.randn(3, 12), "colour": torch.randn(2, 12)}
X_T = np.float32(GENERATOR.standard_normal((3, 32, 32)))
CODE = np.float32(GENERATOR.standard_normal(24))


@pytest.fixture
def model(editor: Editor) -> Iterator[LoadedModel]:
    loaded = LoadedModel(editor, VALUES, "diffusegae/7", max_images=4, cache_bytes=10**7)
    yield loaded
    loaded.close()


def tasks(editor: Editor) -> list[tuple[PictureTask, recipes.Recipe]]:
    """Every kind of task, and the recipe that it means."""
    schema, noise = editor.schema, torch.from_numpy(X_T)[None]
    red = VALUES["colour"][0]
    return [
        (
            Edit(A, {"letter": Change(B), "colour": Change("red", 0.5)}, None, QUICK),
            recipes.edit(schema, IMAGE_A, {"letter": recipes.Change(IMAGE_B), "colour": recipes.Change(red, 0.5)}),
        ),
        (
            Edit(A, {"letter": Change(B)}, 3, QUICK),
            recipes.edit(schema, IMAGE_A, {"letter": recipes.Change(IMAGE_B)}, editor.noise([3])),
        ),
        (
            Recombine({"letter": "b", "colour": B}, X_T, QUICK),
            recipes.recombination(schema, {"letter": VALUES["letter"][1], "colour": IMAGE_B}, noise),
        ),
        (
            Interpolate(A, B, ("letter",), 3, QUICK),
            recipes.interpolation(schema, IMAGE_A, IMAGE_B, ["letter"], 3),
        ),
        (Reconstruct(A, None, QUICK), recipes.reconstruction(IMAGE_A)),
        (Decode(CODE, 5, QUICK), recipes.decoding(torch.from_numpy(CODE)[None], editor.noise([5]))),
    ]


@pytest.mark.parametrize("number", range(6))
def test_a_task_gives_what_its_recipe_gives(model: LoadedModel, editor: Editor, number: int) -> None:
    task, recipe = tasks(editor)[number]
    painted = asyncio.run(model.paint(task))
    expected = to_pixels(editor.follow(recipe))
    assert painted.pictures.shape == expected.shape
    assert np.abs(painted.pictures.astype(int) - expected).max() <= 1
    assert painted.model == "diffusegae/7"
    assert (asyncio.run(model.paint(task)).pictures == painted.pictures).all()  # from the cache, to the last bit


def test_the_noise_that_encode_gives_brings_the_picture_back(model: LoadedModel) -> None:
    encoded = asyncio.run(model.encode(Encode(A, QUICK)))
    assert encoded.noise is not None
    again = asyncio.run(model.paint(Decode(encoded.code, encoded.noise, QUICK)))
    assert (again.pictures == asyncio.run(model.paint(Reconstruct(A, None, QUICK))).pictures).all()


def test_following_tells_steps_then_the_pictures(model: LoadedModel) -> None:
    task = Edit(A, {"letter": Change(B)}, None, LONG)

    async def follow() -> list[Progress | Painted]:
        return [item async for item in model.follow(task)]

    *progress, last = asyncio.run(follow())
    assert isinstance(last, Painted)
    assert (last.pictures == asyncio.run(model.paint(task)).pictures).all()
    told = [(item.step, item.pictures is not None) for item in progress if isinstance(item, Progress)]
    assert len(told) >= 3
    assert told == sorted(told)
    assert all(isinstance(item, Progress) and item.steps == planned_steps(task) == 200 for item in progress)
    assert any(shown for _, shown in told)


def test_who_stops_listening_frees_the_model(model: LoadedModel) -> None:
    async def listen_briefly() -> None:
        items = model.follow(Reconstruct(A, None, LONG))
        await anext(items)
        await items.aclose()  # type: ignore[attr-defined]
        waiting = asyncio.create_task(model.paint(Reconstruct(B, None, LONG)))
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
        painting = asyncio.create_task(model.paint(Reconstruct(A, None, LONG)))
        turns = 0
        while not painting.done():
            await asyncio.sleep(0.001)
            turns += 1
        return turns

    assert asyncio.run(use()) > 20


@pytest.mark.parametrize(("number", "paths"), list(enumerate([2, 1, 1, 2, 2, 1])))
def test_planned_steps_count_the_inversion(editor: Editor, number: int, paths: int) -> None:
    assert planned_steps(tasks(editor)[number][0]) == paths * QUICK.steps


def test_a_value_that_this_version_does_not_know_is_a_problem(model: LoadedModel) -> None:
    model._recipes = Recipes(model.editor, {"letter": torch.full((3, 12), float("nan"))})
    for changes in ({"letter": Change("b")}, {"colour": Change("red")}):
        with pytest.raises(Problem, match="knows no such value"):
            asyncio.run(model.paint(Edit(A, changes, 1, QUICK)))
