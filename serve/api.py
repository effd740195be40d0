"""The routes under /v1: each reads a message, has it checked, hands the task to the model and sends the answer."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from diffusegae.images import encode_image, make_grid

from .checks import Checks, Limits
from .messages import (
    AttributeDescription,
    EditRequest,
    EncodeRequest,
    EncodeResponse,
    HealthResponse,
    InterpolateRequest,
    Message,
    ModelDescription,
    ModelsResponse,
    PicturesResponse,
    ProblemDetails,
    RecombineRequest,
    ReconstructRequest,
    SchemaResponse,
    ServedModel,
)
from .parsing import body_description, read_message
from .problems import MEDIA_TYPE, BodyLimit, add_problem_handlers
from .tasks import Encode, Encoded, Painted, PictureTask

DOCS_PAGE = Path(__file__).with_name("docs.html")
PNG = "image/png"
M = TypeVar("M", bound=Message)


class Service(Protocol):
    """The model behind the routes."""

    @property
    def served(self) -> ServedModel:
        """The version that answers."""

    async def paint(self, task: PictureTask) -> Painted:
        """Do a task that ends in pictures."""

    async def encode(self, task: Encode) -> Encoded:
        """Read a picture's z_dis."""

    async def check(self) -> str:
        """Return the label of the version that answers; Problem 503 if none does."""


def create_api(service: Service, limits: Limits) -> FastAPI:
    """Return the application of a model service."""
    about = (
        "Change one attribute of a picture and leave the rest alone. Pictures come back as PNG, or in JSON on request."
    )
    api = FastAPI(title="DiffuseGAE", version="1", description=about, docs_url=None, redoc_url=None)
    api.add_middleware(BodyLimit, max_bytes=limits.max_request_bytes)
    add_problem_handlers(api)
    api.include_router(_Routes(service, limits).router())
    api.add_api_route("/docs", _docs, include_in_schema=False, response_class=HTMLResponse)
    return api


def _docs() -> str:
    return DOCS_PAGE.read_text()


class _Routes:
    def __init__(self, service: Service, limits: Limits) -> None:
        self.service, self.limits = service, limits

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1")
        for path, route, kind in (
            ("/edit", self.edit, EditRequest),
            ("/recombine", self.recombine, RecombineRequest),
            ("/interpolate", self.interpolate, InterpolateRequest),
            ("/reconstruct", self.reconstruct, ReconstructRequest),
        ):
            description: dict[str, Any] = {"responses": _picture_responses(), "openapi_extra": body_description(kind)}
            router.add_api_route(path, route, methods=["POST"], response_class=Response, **description)
        extra = body_description(EncodeRequest)
        router.add_api_route("/encode", self.encode, methods=["POST"], responses=_problems(), openapi_extra=extra)
        router.add_api_route("/schema", self.schema)
        router.add_api_route("/models", self.models)
        router.add_api_route("/health", self.health, responses=_problems())
        return router

    async def edit(self, request: Request) -> Response:
        """Replace attributes of the source by those of the donors."""
        return await self._paint(request, EditRequest, Checks.edit)

    async def recombine(self, request: Request) -> Response:
        """Make a picture whose every attribute comes from its own donor."""
        return await self._paint(request, RecombineRequest, Checks.recombine)

    async def interpolate(self, request: Request) -> Response:
        """Go from source to target; the PNG shows the frames side by side, JSON has them one by one."""
        return await self._paint(request, InterpolateRequest, Checks.interpolate)

    async def reconstruct(self, request: Request) -> Response:
        """Bring a picture back through the model."""
        return await self._paint(request, ReconstructRequest, Checks.reconstruct)

    async def encode(self, request: Request) -> EncodeResponse:
        """Return the picture's part of z_dis for each attribute."""
        message = await read_message(request, EncodeRequest)
        task = await asyncio.to_thread(self._checks().encode, message)
        encoded = await self.service.encode(task)
        attributes = self.service.served.attributes
        parts = {name: tuple(encoded.code[attributes.slice_of(name)].tolist()) for name in attributes.names}
        return EncodeResponse(parts=parts, model=encoded.model)

    async def schema(self) -> SchemaResponse:
        """Return the attributes and what else can be asked of the model."""
        served = self.service.served
        return SchemaResponse(
            attributes=tuple(
                AttributeDescription(name=attribute.name, values=attribute.values, width=attribute.width)
                for attribute in served.attributes.attributes
            ),
            image_size=served.image_size,
            default_steps=served.default_steps,
            max_steps=self.limits.max_steps,
            max_frames=self.limits.max_frames,
        )

    async def models(self) -> ModelsResponse:
        """Return the model versions that answer."""
        served = self.service.served
        fields = served.model_dump(include=set(ModelDescription.model_fields))
        return ModelsResponse(models=(ModelDescription(**fields),))

    async def health(self) -> HealthResponse:
        """Ask the model itself whether it answers."""
        return HealthResponse(model=await self.service.check())

    def _checks(self) -> Checks:
        return Checks(self.service.served, self.limits)

    async def _paint(self, request: Request, kind: type[M], check: Callable[[Checks, M], PictureTask]) -> Response:
        message = await read_message(request, kind)
        task = await asyncio.to_thread(check, self._checks(), message)  # decoding a large picture takes a while
        painted = await self.service.paint(task)
        return _as_response(painted, wants_json="application/json" in request.headers.get("accept", ""))


def _as_response(painted: Painted, wants_json: bool) -> Response:
    headers = {"X-Model": painted.model, "Vary": "Accept"}
    if wants_json:
        images = tuple(base64.b64encode(encode_image(pixels)).decode() for pixels in painted.pictures)
        content = PicturesResponse(images=images, model=painted.model).model_dump_json()
        return Response(content, media_type="application/json", headers=headers)
    strip = make_grid(painted.pictures, columns=len(painted.pictures), gap=0)
    return Response(encode_image(strip), media_type=PNG, headers=headers)


def _picture_responses() -> dict[int | str, dict[str, Any]]:
    picture = {"schema": {"type": "string", "format": "binary"}}
    content = {PNG: picture, "application/json": {"schema": PicturesResponse.model_json_schema()}}
    return {200: {"description": "PNG, or JSON when the client accepts that.", "content": content}, **_problems()}


def _problems() -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}}
    reasons = {
        413: "The request or a picture is too large.",
        415: "Neither JSON nor a form.",
        422: "The request asks for something that the model cannot do; the reason says what it can.",
        503: "The model is overloaded or starting; try again.",
    }
    return {status: {"description": reason, "content": content} for status, reason in reasons.items()}
