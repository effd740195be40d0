"""The protocol of the models behind the routes."""

from collections.abc import AsyncIterator
from typing import Protocol

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.method import Images
from serve.served import ServedModel
from serve.tasks import Encoded, GeneratedImages, JobState, Presentation, SamplingProgress, Task


class Service(Protocol):
    """The models behind the routes; `model` is the alias of one of them. All may raise a Problem."""

    def served(self, name: str | None = None) -> ServedModel:
        """Return the model of an alias, the first without one; Problem 404 if there is none."""

    def all_served(self) -> tuple[ServedModel, ...]:
        """Return the models that answer; the first one when a request names none."""

    async def generate(self, model: str, task: Task) -> GeneratedImages:
        """Perform a task that ends in pictures; cancelling the call cancels the task."""

    def follow(self, model: str, task: Task) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        """Perform a task and report its progress; ends with the pictures. `aclose` cancels the task."""

    async def encode(self, model: str, image: Images, sampling: SamplingConfig | None) -> Encoded:
        """Read an image's z_dis and, with sampling, its x_T."""

    async def check(self) -> str:
        """Return the label of the first model; Problem 503 if none answers."""

    async def start_job(self, model: str, task: Task, presentation: Presentation) -> JobState:
        """Start a task that runs while no client waits."""

    async def job(self, id: str) -> JobState:
        """Return the state of a job; Problem 404 if it is unknown or expired."""

    def watch_job(self, id: str) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        """Report the progress of a job; ends with the pictures. Raises its Problem when it failed."""

    async def cancel_job(self, id: str) -> None:
        """Cancel a job; Problem 404 if it is unknown or expired."""
