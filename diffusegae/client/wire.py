"""The core that both clients share: settings and calls in, httpx requests out; httpx errors in, this client's out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from .calls import EVENTS, Call
from .errors import AnswerError, BrokenConnectionError, InputError, from_transport
from .retry import Retries

CONNECT_SECONDS = 10.0
AGENT = "diffusegae-client"


@dataclass(frozen=True)
class Wire:
    """The settings of a connection: the service's address and the way to call it.

    Attributes:
        address: http(s)://host[:port][/prefix] of the service, without /v1.
        token: sent as bearer token; None sends none.
        model: name of the served model that is asked; None leaves it to the service.
        timeout: seconds of silence after which a request fails.
        retries: when a request is sent again.
    """

    address: str
    token: str | None = field(default=None, repr=False)
    model: str | None = None
    timeout: float = 60.0
    retries: Retries = field(default_factory=Retries)

    def __post_init__(self) -> None:
        """Reject what no request can be made of; InputError."""
        try:
            url = httpx.URL(self.address)
        except (httpx.InvalidURL, TypeError) as error:
            raise InputError(f"address {self.address!r} is no URL ({error}); give http://host:port") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise InputError(f"address {self.address!r}; give http://host:port or https://host")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise InputError("the token is empty or has characters that a header cannot carry; copy it again")
        if not self.timeout > 0:
            raise InputError(f"timeout={self.timeout}; expected seconds above 0")

    def request(self, call: Call[Any], body: bytes | None, seconds_left: float) -> httpx.Request:
        """Return the request of a call, which times out at the latest when no time is left."""
        seconds = min(self.timeout, seconds_left)
        timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds), pool=None)  # the pool's queue is ours
        headers = {"Accept": call.accept, "User-Agent": AGENT}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        query = dict(call.query or {})
        if call.names_model and self.model is not None:
            query["model"] = self.model
        address = f"{self.address.rstrip('/')}/v1/{call.path}"
        extensions = {"timeout": timeout.as_dict()}
        return httpx.Request(
            call.method, address, params=query or None, headers=headers, content=body, extensions=extensions
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what httpx raises into this client's errors."""
        try:
            yield
        except httpx.TransportError as error:
            raise from_transport(error, self.address) from error
        except httpx.DecodingError as error:
            raise AnswerError(f"{self.address} sent a body that does not decompress ({error})") from error

    def require_events(self, response: httpx.Response) -> None:
        """Raise AnswerError unless a successful answer is a stream of events."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != EVENTS:
            raise AnswerError(
                f"{response.url} answered {kind or 'nothing'} where events were expected; check that the address is the"
                " service's, and that client and service are of one version"
            )

    def cut(self) -> BrokenConnectionError:
        """Return the error of a stream that ended without its result."""
        return BrokenConnectionError(f"{self.address} ended the events before the result; try again")
