"""Errors as problem+json (RFC 9457), and the limit on a request's size."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .messages import ProblemDetails

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """What the client is told: a status, a title, and what was expected and the remedy."""

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.details = ProblemDetails(title=title, status=status, detail=detail)
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the problem as a response."""
        content = self.details.model_dump(mode="json")
        return JSONResponse(content, self.details.status, headers=self.headers, media_type=MEDIA_TYPE)


def add_problem_handlers(api: FastAPI) -> None:
    """Answer every error of a request as problem+json."""

    @api.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> JSONResponse:
        return problem.response()

    @api.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        detail = f"{request.method} {request.url.path}: {error.detail}; /openapi.json lists the routes"
        return Problem(error.status_code, str(error.detail), detail, error.headers).response()


class BodyLimit:
    """ASGI middleware that stops reading a request as soon as it is larger than allowed."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse by the announced length, or by the bytes that arrive when none is announced."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self.max_bytes:
            await self._too_large().response()(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise self._too_large()
            return message

        await self.app(scope, counted, send)

    def _too_large(self) -> Problem:
        limit = f"{self.max_bytes / 2**20:g} MiB"
        return Problem(413, "Request too large", f"the request is larger than {limit}; send smaller pictures")
