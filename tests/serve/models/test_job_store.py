"""Jobs on a real loaded model behind a handle-like object: run, followed, failed, cancelled, forgotten."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.operations import Reconstruct
from diffusegae.pixels import to_tensor
from serve.models import job_store
from serve.models.job_store import JobsDeployment, Work
from serve.models.replica import LoadedModel
from serve.problems import Problem
from serve.tasks import GeneratedImages, JobState, Presentation, SamplingProgress, Task

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
TASK = Task(Reconstruct(to_tensor(PIXELS)[None], [1]), SamplingConfig(steps=100))
WORK = Work("model-0", "fingerprint", TASK)
PRESENTATION = Presentation("webp", 64)


class Stream:
    """A response that streams and can be cancelled."""

    def __init__(self, items: AsyncIterator[Any]) -> None:
        self._items = items

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._items

    def cancel(self) -> None:
        pass


class Handle:
    """Stands for the handle of an editor: calls the model in this process."""

    def __init__(self, model: LoadedModel, problem: Problem | None = None) -> None:
        self.model, self.problem, self.follow = model, problem, self

    def options(self, stream: bool) -> "Handle":
        assert stream
        return self

    def remote(self, task: Task, schema: str) -> Stream:
        assert schema == WORK.schema
        return Stream(self._failing() if self.problem else self.model.follow(task))

    async def _failing(self) -> AsyncIterator[SamplingProgress]:
        yield SamplingProgress(1, 100, None)
        assert self.problem is not None
        raise self.problem


@pytest.fixture
def model(editor: Editor) -> Iterator[LoadedModel]:
    loaded = LoadedModel(editor, {}, "diffusegae/7", max_images=4, cache_bytes=0)
    yield loaded
    loaded.close()


def store(*handles: Any) -> JobsDeployment:
    return JobsDeployment({f"model-{index}": handle for index, handle in enumerate(handles)})


async def begin(jobs: JobsDeployment) -> JobState:
    state = await jobs.start(WORK, PRESENTATION)
    assert state is not None
    return state


async def watch(jobs: JobsDeployment, id: str) -> list[SamplingProgress | JobState]:
    return [item async for item in jobs.watch(id)]


def test_a_job_goes_on_by_itself_and_keeps_its_pictures(model: LoadedModel) -> None:
    async def use() -> None:
        jobs = store(Handle(model))
        begun = await begin(jobs)
        assert (begun.status, begun.step, begun.steps, begun.presentation) == ("queued", 0, 100, PRESENTATION)
        *progress, ended = await watch(jobs, begun.id)
        assert all(isinstance(item, SamplingProgress) for item in progress)
        assert progress
        assert isinstance(ended, JobState)
        assert (ended.status, ended.step) == ("done", 100)
        generated = await model.generate(TASK)
        assert isinstance(ended.generated, GeneratedImages)
        assert (ended.generated.pictures == generated.pictures).all()
        assert await jobs.state(begun.id) is ended
        assert await watch(jobs, begun.id) == [ended]  # who comes late sees the end at once

    asyncio.run(use())


def test_a_job_that_fails_says_why(model: LoadedModel) -> None:
    async def use() -> JobState | None:
        jobs = store(Handle(model, Problem(503, "Overloaded", "come back later")))
        begun = await begin(jobs)
        await watch(jobs, begun.id)
        return await jobs.state(begun.id)

    state = asyncio.run(use())
    assert state is not None
    assert state.status == "failed"
    assert state.problem is not None
    assert (state.problem["status"], state.problem["detail"]) == (503, "come back later")


def test_a_cancelled_job_is_forgotten_and_its_watchers_are_told(model: LoadedModel) -> None:
    async def use() -> None:
        jobs = store(Handle(model))
        begun = await begin(jobs)
        watching = asyncio.create_task(watch(jobs, begun.id))
        await asyncio.sleep(0.05)
        await jobs.cancel(begun.id)
        *_, last = await asyncio.wait_for(watching, 10)
        assert isinstance(last, JobState)
        assert last.status == "cancelled"
        assert await jobs.state(begun.id) is None
        assert await watch(jobs, begun.id) == []

    asyncio.run(use())


def test_no_more_run_than_may_and_old_ones_go(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_store, "MAX_RUNNING", 2)
    monkeypatch.setattr(job_store, "MAX_KEPT", 1)

    async def use() -> None:
        jobs = store(Handle(model))
        first, second = await begin(jobs), await begin(jobs)
        assert await jobs.start(WORK, PRESENTATION) is None
        await watch(jobs, first.id)
        await watch(jobs, second.id)
        assert await jobs.state(first.id) is None
        assert await jobs.state(second.id) is not None
        monkeypatch.setattr(job_store, "KEPT_SECONDS", -1.0)
        assert await jobs.state(second.id) is None

    asyncio.run(use())
