"""The routes under /v1 that are answered at once: operations on pictures, codes, and descriptions of the models."""

import asyncio
import base64
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from serve.http.answers import (
    AttributeDescription,
    EncodeResponse,
    HealthResponse,
    ModelDescription,
    ModelsResponse,
    PicturesResponse,
    SchemaResponse,
)
from serve.http.checks import ENDPOINTS, Checks, Endpoint, Limits, step_counts
from serve.http.connection import cancel_on_disconnect
from serve.http.events import MEDIA_TYPE as EVENTS
from serve.http.events import EventStream
from serve.http.messages import MIN_SIZE, EncodeRequest
from serve.http.negotiation import negotiate
from serve.http.parsing import JSON, read_message
from serve.http.pictures import MEDIA_TYPES, as_answer, as_file
from serve.http.service import Service
from serve.http.timeouts import stream_with_timeout, timeout, with_timeout
from serve.problems import Problem, shown
from serve.served import ServedModel
from serve.tasks import Encoded, GeneratedImages, Presentation


class Routes:
    """The routes that need no job."""

    def __init__(self, service: Service, limits: Limits) -> None:
        self.service, self.limits = service, limits

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1")
        for name, endpoint in ENDPOINTS.items():
            options: dict[str, Any] = {"response_class": Response, "responses": {200: {"model": PicturesResponse}}}
            options |= {"description": inspect.getdoc(endpoint.message), "summary": name.capitalize()}
            route = self._operate(endpoint)
            router.add_api_route(f"/{name}", route, methods=["POST"], operation_id=name, **options)
        add: Callable[..., None] = router.add_api_route
        add("/encode", self.encode, methods=["POST"], operation_id="encode", response_model=EncodeResponse)
        add("/schema", self.schema, operation_id="schema", response_model=SchemaResponse)
        add("/models", self.models, operation_id="models", response_model=ModelsResponse)
        add("/health", self.health, operation_id="health", response_model=HealthResponse)
        return router

    async def encode(self, request: Request, response: Response) -> EncodeResponse:
        """Read a picture's part of z_dis for each attribute and, on request, the noise that generates it."""
        served = asked_model(request, self.service)
        message = await read_message(request, EncodeRequest, self.limits.max_request_bytes)
        negotiate(request.headers.get("accept"), [JSON])
        image, sampling = await asyncio.to_thread(Checks(served, self.limits).encode, message)
        work = with_timeout(self._timeout(request), self.service.encode(served.alias, image, sampling))
        encoded = await cancel_on_disconnect(request.receive, work)
        response.headers["X-Model"] = encoded.model
        return _codes(encoded, served)

    async def schema(self, request: Request) -> SchemaResponse:
        """Return the attributes and what else can be asked of the model."""
        served, limits = asked_model(request, self.service), self.limits
        attributes = tuple(
            AttributeDescription(
                name=attribute.name,
                values=attribute.named_values,
                width=attribute.width,
                centroid_values=served.centroid_values.get(attribute.name, ()),
            )
            for attribute in served.attributes.attributes
        )
        return SchemaResponse(
            model=served.label,
            attributes=attributes,
            image_size=served.image_size,
            resize=served.framing.resize,
            samplers=served.samplers,
            default_steps=served.default_steps,
            step_counts=step_counts(served, limits),
            min_size=MIN_SIZE,
            **limits.model_dump(include={"max_steps", "max_frames", "max_size", "max_pixels", "max_request_bytes"}),
        )

    async def models(self) -> ModelsResponse:
        """Return the model versions that answer; the first one when a request names none."""
        fields = set(ModelDescription.model_fields)
        models = (ModelDescription(**served.model_dump(include=fields)) for served in self.service.all_served())
        return ModelsResponse(models=tuple(models))

    async def health(self) -> HealthResponse:
        """Ask the model itself whether it answers."""
        return HealthResponse(model=await self.service.check())

    def _operate(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def operate(request: Request) -> Response:
            served = asked_model(request, self.service)
            message = await read_message(request, endpoint.message, self.limits.max_request_bytes)
            checks = Checks(served, self.limits)
            task, presentation = await asyncio.to_thread(endpoint.prepare, checks, message)
            kind = negotiate(request.headers.get("accept"), picture_offers(presentation))
            seconds = self._timeout(request)
            if kind == EVENTS:
                items = stream_with_timeout(seconds, self.service.follow(served.alias, task))
                return EventStream(items, presentation, served.label)
            work = with_timeout(seconds, self.service.generate(served.alias, task))
            generated = await cancel_on_disconnect(request.receive, work)
            return await picture_response(generated, presentation, kind)

        return operate

    def _timeout(self, request: Request) -> float:
        return timeout(request.headers.get("prefer"), self.limits.max_seconds)


def asked_model(request: Request, service: Service) -> ServedModel:
    """Return the model that ?model= asks for; Problem 404 if there is none, 422 if the query asks for more."""
    unknown = [name for name in request.query_params if name != "model"]
    names = request.query_params.getlist("model")
    if unknown or len(names) > 1:
        what = f"{shown(unknown[0])}: unknown parameter" if unknown else "model: given more than once"
        raise Problem(422, "Invalid query", f"{what}; the only query parameter is model, once")
    return service.served(names[0] if names else None)


def picture_offers(presentation: Presentation) -> list[str]:
    """Return the media types in which pictures can be answered."""
    return [MEDIA_TYPES[presentation.format], JSON, EVENTS]


async def picture_response(generated: GeneratedImages, presentation: Presentation, kind: str) -> Response:
    """Return pictures as a file, or one by one in JSON."""
    headers = {"X-Model": generated.model, "Vary": "Accept"}
    if kind == JSON:
        answer = await asyncio.to_thread(as_answer, generated, presentation)
        return Response(answer.model_dump_json(), media_type=JSON, headers=headers)
    content = await asyncio.to_thread(as_file, generated.pictures, presentation)
    return Response(content, media_type=kind, headers=headers)


def _codes(encoded: Encoded, served: ServedModel) -> EncodeResponse:
    attributes = served.attributes
    parts = {name: tuple(encoded.code[attributes.slice_of(name)].tolist()) for name in attributes.names}
    noise = encoded.noise
    text = None if noise is None else base64.b64encode(noise.astype("<f4").tobytes()).decode()
    return EncodeResponse(parts=parts, x_T=text, model=encoded.model)
