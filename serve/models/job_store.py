"""The deployment of jobs: tasks that run while no client waits, and their pictures for as long as they are kept.

One replica, on the CPU: a job's state is its memory. If that replica dies its jobs are gone: asking for one is a 404.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

from ray.serve.handle import DeploymentHandle

from serve.models.calls import stream
from serve.models.editors import EditorDeployment
from serve.problems import Problem, internal_problem, log_failure
from serve.tasks import GeneratedImages, JobState, Presentation, SamplingProgress, Task

MAX_RUNNING, MAX_KEPT, KEPT_SECONDS = 64, 512, 3600.0


@dataclass(frozen=True)
class Work:
    """A task, the alias of its model, and the fingerprint of the schema it was checked against."""

    model: str
    schema: str
    task: Task


@dataclass(eq=False)
class Job:
    """A job: its latest state, and the condition on which others wait for the next one."""

    state: JobState
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    pictures: SamplingProgress | None = None
    work: "asyncio.Task[None] | None" = None
    ended_at: float | None = None

    async def become(self, state: JobState, pictures: SamplingProgress | None = None) -> None:
        """Take over a state and notify those who wait."""
        async with self.changed:
            self.state, self.pictures = state, pictures
            if state.status in ("done", "failed", "cancelled"):
                self.ended_at = time.monotonic()
            self.changed.notify_all()


class JobsDeployment:
    """Runs jobs on the editors and keeps their results; `None` in an answer means that a job is unknown."""

    def __init__(self, editors: Mapping[str, DeploymentHandle[EditorDeployment]]) -> None:
        self._editors = dict(editors)
        self._jobs: dict[str, Job] = {}

    async def start(self, work: Work, presentation: Presentation) -> JobState | None:
        """Start a job; None if too many run already."""
        self._forget_old()
        if sum(job.ended_at is None for job in self._jobs.values()) >= MAX_RUNNING:
            return None
        job = Job(JobState(secrets.token_urlsafe(16), "queued", 0, work.task.steps, presentation))
        self._jobs[job.state.id] = job
        job.work = asyncio.create_task(self._run(job, work))
        return job.state

    async def state(self, id: str) -> JobState | None:
        """Return the state of a job."""
        self._forget_old()
        job = self._jobs.get(id)
        return None if job is None else job.state

    async def watch(self, id: str) -> AsyncIterator[SamplingProgress | JobState]:
        """Yield a job's progress as it comes, and its state when it has ended."""
        job = self._jobs.get(id)
        if job is None:
            return
        seen: SamplingProgress | None = None
        while job.ended_at is None:
            async with job.changed:
                if job.pictures is seen and job.ended_at is None:
                    await job.changed.wait()
                seen = job.pictures
            if seen is not None and job.ended_at is None:
                yield seen
        yield job.state

    async def cancel(self, id: str) -> None:
        """Cancel a job and forget it."""
        job = self._jobs.pop(id, None)
        if job is not None and job.work is not None and job.ended_at is None:
            job.work.cancel()
            await job.become(replace(job.state, status="cancelled"))

    async def _run(self, job: Job, work: Work) -> None:
        handle = self._editors[work.model].options(stream=True)
        try:
            async for item in stream(lambda: handle.follow.remote(work.task, work.schema)):
                if isinstance(item, GeneratedImages):
                    await job.become(replace(job.state, status="done", step=job.state.steps, generated=item))
                else:
                    await job.become(replace(job.state, status="running", step=item.step), item)
        except Problem as problem:
            await self._fail(job, problem)
        except Exception as error:
            log_failure(error)
            await self._fail(job, internal_problem())

    async def _fail(self, job: Job, problem: Problem) -> None:
        await job.become(replace(job.state, status="failed", problem=problem.details.model_dump(mode="json")))

    def _forget_old(self) -> None:
        now = time.monotonic()
        ended = [(id, job.ended_at) for id, job in self._jobs.items() if job.ended_at is not None]
        for place, (id, ended_at) in enumerate(ended):
            if now - ended_at > KEPT_SECONDS or len(ended) - place > MAX_KEPT:
                del self._jobs[id]
