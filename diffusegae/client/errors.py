"""The errors between a caller and the service: one tree, each with the remedy.

A `ClientError` is one of

- InputError: what was given cannot be sent, or saved as asked;
- TransportError, no answer came: UnreachableError, BrokenConnectionError or TimedOutError;
- AnswerError: an answer came that is not this API's;
- ServiceError, the service said no: BadRequestError, UnauthorizedError, NotFoundError, ConflictError,
  TooManyRequestsError, UnavailableError, or itself for any other failure of the service.
"""

import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

SHOWN_CHARACTERS = 200  # of an answer that is no problem+json
DEADLINE = "/problems/deadline-passed"  # what took too long once takes too long again


class ClientError(Exception):
    """Anything that keeps a call from its result.

    Attributes:
        is_final: asking again would bring the same answer, whatever its status.
    """

    is_final = False


class InputError(ClientError, ValueError):
    """An input that cannot be sent, or not saved as asked."""


class TransportError(ClientError):
    """No complete answer came from the service."""


class UnreachableError(TransportError):
    """Nobody answers at the address; nothing was sent."""


class BrokenConnectionError(TransportError):
    """The connection broke after the request may have been sent, before the answer was complete."""


class TimedOutError(TransportError):
    """The service was silent for longer than the timeout."""


class AnswerError(ClientError):
    """An answer came that is not what this API sends: another program, or another version of it, is at the address."""


class ServiceError(ClientError):
    """The service said no.

    Attributes:
        status: HTTP status.
        type: a stable relative URI of the kind of problem, such as /problems/unknown-attribute; about:blank if none.
        title: the kind of problem in words.
        detail: what was wrong, what was expected, and the remedy.
        retry_after: seconds after which the service asks to be tried again, or None.
    """

    def __init__(self, status: int, type: str, title: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(status, type, title, detail, retry_after)  # so that pickling works
        self.status, self.type, self.title, self.detail, self.retry_after = status, type, title, detail, retry_after
        self.is_final = type == DEADLINE

    def __str__(self) -> str:
        return f"{self.status} {self.title}: {self.detail}" if self.detail else f"{self.status} {self.title}"


class BadRequestError(ServiceError):
    """The request asks for something that cannot be done as asked; the detail says what can."""


class UnauthorizedError(ServiceError):
    """The token is missing, unknown or not allowed to do this."""


class NotFoundError(ServiceError):
    """There is no such model, job or picture, or not any more."""


class ConflictError(ServiceError):
    """Not in this state: the result of a job that is not done."""


class TooManyRequestsError(ServiceError):
    """The caller asks for more than its share."""


class UnavailableError(ServiceError):
    """The service is starting, overloaded or behind a gateway that cannot reach it."""


def kind_of(status: int) -> type[ServiceError]:
    """Return the class of errors for an HTTP status."""
    kinds = {
        **dict.fromkeys((401, 403), UnauthorizedError),
        **dict.fromkeys((404, 410), NotFoundError),
        409: ConflictError,
        429: TooManyRequestsError,
        **dict.fromkeys((502, 503, 504), UnavailableError),
    }
    return kinds.get(status, BadRequestError if 400 <= status < 500 else ServiceError)


def from_problem(problem: Any, status: int = 500, retry_after: float | None = None) -> ServiceError:
    """Turn a problem+json object into an error; `status` counts where the object has none."""
    fields = problem if isinstance(problem, dict) else {"detail": str(problem)}
    stated = fields.get("status")
    status = stated if isinstance(stated, int) else status
    title, detail = str(fields.get("title") or "Problem"), str(fields.get("detail") or "")
    return kind_of(status)(status, str(fields.get("type") or "about:blank"), title, detail, retry_after)


def from_response(response: httpx.Response) -> ClientError:
    """Turn an answer that is no success, read to its end, into an error."""
    if response.is_redirect:
        target = response.headers.get("location", "another address")
        return AnswerError(f"{response.url} has moved to {target}; give the client the service's address there")
    wait = seconds_until(response.headers.get("retry-after", "").strip())
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict):
        return from_problem(problem, response.status_code, wait)
    text = " ".join(response.text.split())[:SHOWN_CHARACTERS]
    title = response.reason_phrase or "Problem"
    status = response.status_code
    # A 500 without JSON is a proxy's, whose service broke off: the service's own have some.
    kind = UnavailableError if status == 500 else kind_of(status)
    return kind(status, "about:blank", title, text, wait)


def from_transport(error: httpx.TransportError, address: str) -> TransportError:
    """Turn what httpx raises into an error that names the address and the remedy."""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return UnreachableError(f"{address} does not answer ({reason}); check the address and that the service runs")
    if isinstance(error, httpx.TimeoutException):
        return TimedOutError(
            f"{address} was silent for too long ({reason}); raise the client's timeout, ask for fewer steps, or"
            " submit a job"
        )
    return BrokenConnectionError(f"the connection to {address} broke ({reason}); try again, or read the service's log")


def seconds_until(value: str) -> float | None:
    """Read Retry-After, in seconds or as a date, as seconds from now; None if it is neither."""
    try:
        if value.isdecimal():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
