"""Every failure of a request as problem+json, and the limit on a request's size."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.problems import Problem, internal_problem, log_failure, shown

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


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
    """Return the methods of a path; the router gives those of the first route alone."""
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
