"""Errors as problem+json (RFC 9457): their kinds, the handlers that answer them, and the limit on a request's size."""

import logging
import re
import traceback
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .messages import ProblemDetails

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MAX_DETAIL, MAX_SHOWN = 2000, 60  # characters of a detail, and of a client's own value in it


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """What the client is told: a status, a title, and what was expected and the remedy.

    The title names the kind of problem and is the same for all of a kind: `type` is made of it.
    """

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        kind = f"/problems/{re.sub('[^a-z0-9]+', '-', title.lower()).strip('-')}"
        self.details = ProblemDetails(type=kind, title=title, status=status, detail=_presentable(detail))
        self.headers = dict(headers or {})

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a problem travel between processes."""
        return Problem, (self.details.status, self.details.title, self.details.detail, self.headers)

    def response(self) -> JSONResponse:
        """Return the problem as a response."""
        content = self.details.model_dump(mode="json")
        return JSONResponse(content, self.details.status, headers=self.headers, media_type=MEDIA_TYPE)


def internal_problem() -> Problem:
    """Return the problem of an error that is ours; it tells nothing of what happened inside."""
    return Problem(500, "Internal error", "the service failed at this request; try again, or tell who runs it")


def log_failure(error: BaseException) -> None:
    """Log where an error arose, but not its text, which may hold what a client sent."""
    where = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    logger.error("a request failed with %s\n%s", type(error).__name__, where)


def shown(value: Any) -> str:
    """Return a client's value as a detail may carry it: short, and on one line."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if not isinstance(value, str | int | float):
        return f"({type(value).__name__})"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def add_problem_handlers(api: FastAPI) -> None:
    """Answer every error of a request as problem+json."""

    @api.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> JSONResponse:
        return problem.response()

    @api.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        title = str(error.detail) if error.status_code in (404, 405) else f"HTTP {error.status_code}"
        detail = f"{request.method} {shown(request.url.path)[1:-1]}: {error.detail}; /openapi.json lists the routes"
        headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
        return Problem(error.status_code, title, detail, headers).response()

    @api.exception_handler(RequestValidationError)
    async def _parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        reasons = (f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors())
        return Problem(422, "Invalid request", "; ".join(reasons)).response()


def _allowed(request: Request) -> str:
    """Return the methods of a path; the router tells those of the first route alone."""
    routes = request.app.router.routes
    scopes = ({**request.scope, "method": method} for method in METHODS)
    return ", ".join(
        str(scope["method"]) for scope in scopes if any(route.matches(scope)[0] is Match.FULL for route in routes)
    )


class FailureAnswers:
    """ASGI middleware that answers what nobody else has answered: problems of middlewares, and errors of our own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; a failure after the answer has begun can only be logged and cut the answer off."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if not isinstance(error, Problem):
                log_failure(error)
            if begun:
                raise ConnectionAbortedError("a request failed after its answer had begun") from None
            problem = error if isinstance(error, Problem) else internal_problem()
            await problem.response()(scope, receive, send)


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
        if announced.isdigit() and (len(announced) > 20 or int(announced) > self.max_bytes):
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


def _presentable(detail: str) -> str:
    """Return a detail without control characters and lone surrogates, which no JSON text can hold, and not too long."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in detail[:MAX_DETAIL])
    return text if len(detail) <= MAX_DETAIL else f"{text}…"
