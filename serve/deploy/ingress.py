"""The deployment of the API: validates requests on the CPU and hands tasks to the models' replicas."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve.handle import DeploymentHandle

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.method import Images
from diffusegae.schema import AttributeSchema
from serve.http.api import DOCS_PAGE, create_api
from serve.http.checks import Limits
from serve.http.gallery_routes import GalleryRoutes
from serve.http.security import protect
from serve.http.tokens import load_tokens
from serve.models.calls import answer, stream
from serve.models.editors import EditorDeployment
from serve.models.gallery import Gallery
from serve.models.job_store import JobsDeployment, Work
from serve.problems import Problem, ProblemDetails, shown
from serve.served import ServedModel, ServedModels, find_model
from serve.tasks import Encoded, GeneratedImages, JobState, Presentation, SamplingProgress, Task


class IngressConfig(BaseModel):
    """The settings of an ingress: limits, the gallery's data set, tokens and the host names that it answers to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limits: Limits = Limits()
    gallery: str = ""
    schema_of_gallery: AttributeSchema | None = None
    tokens: str = ""
    hosts: tuple[str, ...] = ()


@serve.ingress()
class IngressDeployment:
    """Validates requests on the CPU and hands the tasks to the editors' replicas; satisfies `Service`."""

    def __init__(
        self,
        editors: Mapping[str, DeploymentHandle[EditorDeployment]],
        jobs: DeploymentHandle[JobsDeployment],
        config: IngressConfig,
    ) -> None:
        self._editors, self._jobs, self._config = dict(editors), jobs, config
        self._models: tuple[ServedModel, ...] = ()
        self._schemas: dict[str, str] = {}  # fingerprints by alias

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the API in the replica; Ray calls this."""
        config = self._config
        schema = config.schema_of_gallery
        gallery = GalleryRoutes(Gallery.open(config.gallery, schema)) if config.gallery and schema else None
        api = create_api(self, config.limits, gallery=gallery)
        tokens = load_tokens(config.tokens) if config.tokens else ()
        protect(api, tokens=tokens, hosts=config.hosts, pages={"/docs": DOCS_PAGE.read_text()})
        return api

    def reconfigure(self, config: dict[str, Any]) -> None:
        """Take over the descriptions of the served versions."""
        self._models = ServedModels.model_validate(config).models
        self._schemas = {served.alias: served.attributes.fingerprint() for served in self._models}

    def served(self, name: str | None = None) -> ServedModel:
        """Return the version that requests for an alias are checked against."""
        return find_model(self._models, name)

    def all_served(self) -> tuple[ServedModel, ...]:
        """Return all served versions."""
        return self._models

    async def generate(self, model: str, task: Task) -> GeneratedImages:
        """Perform a task that ends in pictures."""
        schema = self._schemas[model]
        generated: GeneratedImages = await answer(lambda: self._editors[model].generate.remote(task, schema))
        return generated

    async def follow(self, model: str, task: Task) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        """Perform a task and report its progress."""
        handle = self._editors[model].options(stream=True)
        async for item in stream(lambda: handle.follow.remote(task, self._schemas[model])):
            yield item

    async def encode(self, model: str, image: Images, sampling: SamplingConfig | None) -> Encoded:
        """Read an image's z_dis and, with sampling, its x_T."""
        schema = self._schemas[model]
        encoded: Encoded = await answer(lambda: self._editors[model].encode.remote(image, sampling, schema))
        return encoded

    async def check(self) -> str:
        """Ask a replica of the first model which version it holds."""
        label: str = await answer(lambda: self._editors[self.served().alias].check.remote())
        return label

    async def start_job(self, model: str, task: Task, presentation: Presentation) -> JobState:
        """Start a job."""
        work = Work(model, self._schemas[model], task)
        state: JobState | None = await answer(lambda: self._jobs.start.remote(work, presentation))
        if state is None:
            detail = "as many jobs run as may; begin another when one has ended"
            raise Problem(429, "Too many jobs", detail, {"Retry-After": "10"})
        return state

    async def job(self, id: str) -> JobState:
        """Return the state of a job."""
        state: JobState | None = await answer(lambda: self._jobs.state.remote(id))
        if state is None:
            raise _unknown(id)
        return state

    async def watch_job(self, id: str) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        """Follow a job to its pictures, or to its problem."""
        handle, last = self._jobs.options(stream=True), None
        async for item in stream(lambda: handle.watch.remote(id)):
            if isinstance(item, SamplingProgress):
                yield item
            else:
                last = item
        if last is None:
            raise _unknown(id)
        if last.generated is None:
            raise _ended(last)
        yield last.generated

    async def cancel_job(self, id: str) -> None:
        """Cancel a job."""
        await answer(lambda: self._jobs.cancel.remote(id))


def _unknown(id: str) -> Problem:
    return Problem(404, "Unknown job", f"there is no job {shown(id)}, or no longer; POST /v1/jobs begins one")


def _ended(state: JobState) -> Problem:
    if state.problem is None:
        return Problem(409, "Job has no result", f"the job is {state.status}; POST /v1/jobs begins another")
    details = ProblemDetails.model_validate(state.problem)
    return Problem(details.status, details.title, details.detail)
