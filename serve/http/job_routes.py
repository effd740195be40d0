"""The routes under /v1/jobs: operations that run while their client does not wait."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response

from serve.http.answers import JobLinks, JobResponse, PicturesResponse
from serve.http.checks import ENDPOINTS, Checks, Limits
from serve.http.events import MEDIA_TYPE as EVENTS
from serve.http.events import EventStream
from serve.http.messages import JobRequest, PictureMessage
from serve.http.negotiation import negotiate
from serve.http.parsing import read_content, to_message
from serve.http.routes import asked_model, picture_offers, picture_response
from serve.http.service import Service
from serve.problems import Problem, ProblemDetails, shown
from serve.tasks import GeneratedImages, JobState

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class JobRoutes:
    """The routes of jobs."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self.service, self.limits = service, limits

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/jobs")
        starting: dict[str, Any] = {"methods": ["POST"], "status_code": 202, "response_model": JobResponse}
        cancelling: dict[str, Any] = {"methods": ["DELETE"], "status_code": 204, "response_class": Response}
        pictures: dict[str, Any] = {"response_class": Response, "responses": {200: {"model": PicturesResponse}}}
        router.add_api_route("", self.start, operation_id="start_job", **starting)
        router.add_api_route("/{id}", self.show, operation_id="job", response_model=JobResponse)
        router.add_api_route("/{id}", self.cancel, operation_id="cancel_job", **cancelling)
        router.add_api_route("/{id}/events", self.events, operation_id="job_events", response_class=Response)
        router.add_api_route("/{id}/result", self.result, operation_id="job_result", **pictures)
        return router

    async def start(self, request: Request, response: Response) -> JobResponse:
        """Start an operation and answer its job at once."""
        served = asked_model(request, self.service)
        content, is_form = await read_content(request, self.limits.max_request_bytes)
        job = await asyncio.to_thread(to_message, content, JobRequest, is_form)
        endpoint = ENDPOINTS[job.operation]
        checks, kind = Checks(served, self.limits), endpoint.message
        message: PictureMessage = await asyncio.to_thread(to_message, job.request, kind, is_form, "request.")
        task, presentation = await asyncio.to_thread(endpoint.prepare, checks, message)
        state = await self.service.start_job(served.alias, task, presentation)
        answer = _describe(state, request)
        response.headers["Location"] = answer.links.self
        return answer

    async def show(self, id: str, request: Request) -> JobResponse:
        """Return the state of a job."""
        return _describe(await self._job(id), request)

    async def events(self, id: str, request: Request) -> Response:
        """Follow a job from where it is to its pictures or its problem."""
        state = await self._job(id)
        negotiate(request.headers.get("accept"), [EVENTS])
        return EventStream(self.service.watch_job(id), state.presentation, has_own_status=False)

    async def result(self, id: str, request: Request) -> Response:
        """Return the pictures of a job that is done."""
        state = await self._job(id)
        kind = negotiate(request.headers.get("accept"), picture_offers(state.presentation))
        if state.generated is None or state.status != "done":
            raise _not_done(state)
        if kind == EVENTS:
            return EventStream(_once(state.generated), state.presentation, state.generated.model)
        return await picture_response(state.generated, state.presentation, kind)

    async def cancel(self, id: str) -> None:
        """Cancel a job and forget it."""
        await self._job(id)
        await self.service.cancel_job(id)

    async def _job(self, id: str) -> JobState:
        if not JOB_ID.fullmatch(id):
            raise Problem(404, "Unknown job", f"there is no job {shown(id)}; POST /v1/jobs begins one")
        return await self.service.job(id)


def _describe(state: JobState, request: Request) -> JobResponse:
    here = f"{request.scope.get('root_path', '')}/v1/jobs/{state.id}"
    fields: Any = state.problem
    return JobResponse(
        id=state.id,
        status=state.status,
        step=state.step,
        steps=state.steps,
        problem=None if fields is None else ProblemDetails.model_validate(fields),
        links=JobLinks(self=here, events=f"{here}/events", result=f"{here}/result"),
    )


def _not_done(state: JobState) -> Problem:
    if state.status in ("failed", "cancelled"):
        reason = f" ({state.problem['detail']})" if state.problem else ""
        return Problem(409, "Job has no result", f"the job is {state.status}{reason}; begin another with POST /v1/jobs")
    detail = f"the job is {state.status}, step {state.step} of {state.steps}; ask again, or follow its events"
    return Problem(409, "Job not done", detail, {"Retry-After": "1"})


async def _once(generated: GeneratedImages) -> AsyncIterator[GeneratedImages]:
    yield generated
