"""What the routes ask of the model behind them."""

from collections.abc import AsyncIterator
from typing import Protocol

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.method import Images
from serve.served import ServedModel
from serve.tasks import Encoded, JobState, Painted, Presentation, Progress, Task


class Service(Protocol):
    """The models behind the routes; `model` is the alias of one of them. All may raise a Problem."""

    def served(self, name: str | None = None) -> ServedModel:
        """Return the model of an alias, the first without one; Problem 404 if there is none."""

    def all_served(self) -> tuple[ServedModel, ...]:
        """Return the models that answer; the first one when a request names none."""

    async def paint(self, model: str, task: Task) -> Painted:
        """Do a task that ends in pictures; cancelling it gives the task up."""

    def follow(self, model: str, task: Task) -> AsyncIterator[Progress | Painted]:
        """Do a task and tell how far it is; ends with the pictures. `aclose` gives the task up."""

    async def encode(self, model: str, image: Images, sampling: SamplingConfig | None) -> Encoded:
        """Read an image's z_dis and, with sampling, its x_T."""

    async def check(self) -> str:
        """Return the label of the first model; Problem 503 if none answers."""

    async def start_job(self, model: str, task: Task, presentation: Presentation) -> JobState:
        """Begin a task that is done while nobody waits."""

    async def job(self, id: str) -> JobState:
        """Return where a job is; Problem 404 if it is unknown or expired."""

    def watch_job(self, id: str) -> AsyncIterator[Progress | Painted]:
        """Tell how far a job is; ends with the pictures. Raises its Problem when it failed."""

    async def cancel_job(self, id: str) -> None:
        """Give a job up; Problem 404 if it is unknown or expired."""
