"""Problems (RFC 9457): the errors that a client gets to see."""

import logging
import re
import traceback
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
MAX_DETAIL, MAX_SHOWN = 2000, 60  # characters of a detail, and of a client's own value in it


class ProblemDetails(BaseModel):
    """Why a request was refused (RFC 9457)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field("about:blank", description="The kind of problem, always the same for the same kind.")
    title: str
    status: int
    detail: str


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """An error for the client: a status, a title, what was expected and the remedy.

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
    """Return the problem of an error that is ours; it holds nothing of what happened inside."""
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


def _presentable(detail: str) -> str:
    """Return a detail without control characters and lone surrogates, which no JSON text can hold, and not too long."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in detail[:MAX_DETAIL])
    return text if len(detail) <= MAX_DETAIL else f"{text}…"
