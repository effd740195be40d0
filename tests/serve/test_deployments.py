import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError

from diffusegae.editing.editor import Editor
from serve import deployments
from serve.deployments import EditorDeployment, ModelSource
from serve.messages import ServedModel
from serve.problems import Problem
from serve.tasks import Encode, Painted, PictureTask, Reconstruct

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
TASK = Reconstruct(PIXELS, seed=1, steps=2)


@pytest.fixture
def source(served: ServedModel) -> ModelSource:
    return ModelSource(tracking_uri="sqlite:///nowhere.db", device="cpu", served=served)


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> list[str]:
    """Which models were downloaded; the registry is another room's."""
    asked: list[str] = []

    def download(tracking_uri: str, model_uri: str, destination: Path) -> Path:
        asked.append(model_uri)
        return checkpoint

    monkeypatch.setattr(deployments, "download_checkpoint", download)
    return asked


def test_loads_the_named_version_once(source: ModelSource, downloads: list[str], editor: Editor) -> None:
    async def use() -> tuple[Painted, list[float], str]:
        replica = EditorDeployment()
        for _ in range(2):
            await replica.reconfigure(source.model_dump(mode="json"))
        encoded = await replica.encode(Encode(PIXELS))
        return await replica.paint(TASK), encoded.code.tolist(), await replica.check()

    painted, code, label = asyncio.run(use())
    assert downloads == ["models:/diffusegae/7"]
    assert painted.model == label == "diffusegae/7"
    assert painted.pictures.shape == (1, 32, 32, 3)
    assert len(code) == editor.schema.width


def test_the_event_loop_stays_free_while_denoising(
    source: ModelSource, downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def slow(editor: Editor, task: PictureTask) -> np.ndarray[Any, Any]:
        assert release.wait(60), "the event loop was blocked"
        return PIXELS[None]

    async def use() -> Painted:
        replica = EditorDeployment()
        await replica.reconfigure(source.model_dump(mode="json"))
        monkeypatch.setattr(deployments, "paint", slow)
        denoising = asyncio.create_task(replica.paint(TASK))
        await asyncio.sleep(0)
        assert await replica.check() == "diffusegae/7"
        release.set()
        return await denoising

    assert (asyncio.run(use()).pictures == PIXELS).all()


def answering(outcomes: list[Any]) -> Callable[[], Any]:
    remaining: Iterator[Any] = iter(outcomes)

    async def call() -> Any:
        outcome = next(remaining)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return call


def test_a_dead_replica_is_replaced_once() -> None:
    died = ActorDiedError()
    assert asyncio.run(deployments._answer(answering([died, "done"]))) == "done"
    with pytest.raises(Problem, match="no replica") as caught:
        asyncio.run(deployments._answer(answering([died, died, "done"])))
    assert caught.value.details.status == 503


def test_a_full_queue_is_a_503_with_a_time_to_wait() -> None:
    full = BackPressureError(num_queued_requests=64, max_queued_requests=64)
    with pytest.raises(Problem, match="too many requests") as caught:
        asyncio.run(deployments._answer(answering([full])))
    assert (caught.value.details.status, caught.value.headers) == (503, {"Retry-After": "2"})
