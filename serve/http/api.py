"""The application: all routes, the pages, and what is put around them."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from serve.http.answers import EmptyGallery
from serve.http.checks import Limits
from serve.http.description import complete, require_tokens
from serve.http.failures import BodyLimit, FailureAnswers, add_problem_handlers
from serve.http.job_routes import JobRoutes
from serve.http.routes import Routes
from serve.http.service import Service
from serve.http.tokens import OPEN_PATHS, BearerTokens
from serve.problems import Problem

DOCS_PAGE = Path(__file__).with_name("docs.html")
PAGE_FOLDER = Path(__file__).parents[1] / "page"
ABOUT = (
    "Change one attribute of a picture and leave the rest alone. Pictures come back as a file, in JSON, or as"
    " server-sent events with progress: the Accept header decides."
)


class HasRouter(Protocol):
    """A part of the API that brings its routes below /v1."""

    def router(self) -> APIRouter:
        """Return the routes."""


class _Api(FastAPI):
    """A FastAPI application whose description follows the models that are served."""

    def __init__(self, service: Service, limits: Limits, **options: Any) -> None:
        super().__init__(title="DiffuseGAE", version="1", description=ABOUT, docs_url=None, redoc_url=None, **options)
        self._service, self._limits = service, limits

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description, with what the models of this moment allow."""
        description = complete(copy.deepcopy(super().openapi()), self._service, self._limits)
        guards = [each.cls for each in self.user_middleware if isinstance(each.cls, type)]
        if any(issubclass(guard, BearerTokens) for guard in guards):
            require_tokens(description, OPEN_PATHS)
        return description


def create_api(
    service: Service, limits: Limits, *, gallery: HasRouter | None = None, middleware: Sequence[Middleware] = ()
) -> FastAPI:
    """Return the application of a model service; `middleware` is put around the routes, the first one outermost."""
    around = [Middleware(FailureAnswers), *middleware, Middleware(BodyLimit, max_bytes=limits.max_request_bytes)]
    api = _Api(service, limits, middleware=around)
    add_problem_handlers(api)
    api.include_router(Routes(service, limits).router())
    api.include_router(JobRoutes(service, limits).router())
    if gallery is None:
        api.add_api_route("/v1/gallery", _no_gallery, operation_id="gallery", response_model=EmptyGallery)
    else:
        api.include_router(gallery.router(), prefix="/v1")
    api.add_api_route("/docs", _docs, include_in_schema=False, response_class=HTMLResponse)
    api.add_api_route("/", _page, include_in_schema=False, response_class=FileResponse)
    if PAGE_FOLDER.is_dir():
        api.mount("/page", StaticFiles(directory=PAGE_FOLDER))
    return api


def _no_gallery() -> EmptyGallery:
    """List the gallery: this service has none."""
    return EmptyGallery()


def _docs() -> str:
    return DOCS_PAGE.read_text()


def _page() -> FileResponse:
    page = PAGE_FOLDER / "index.html"
    if not page.is_file():
        raise Problem(404, "No page", "this service has no page; /docs describes its API")
    return FileResponse(page)
