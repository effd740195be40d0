"""Bearer tokens and their rate limits.

A token is 256 random bits, so its plain SHA-256 is what the token file keeps: whoever reads the file learns no token.
The limits are counted in each ingress replica on its own: N replicas together let through up to N times as much.
"""

import hashlib
import hmac
import logging
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diffusegae.config.load import ConfigError
from serve.http.paths import is_api, route_path
from serve.problems import Problem

logger = logging.getLogger(__name__)
OPEN_PATHS = ("/v1/health",)  # below /v1 without a token: probes have none
UNCOUNTED = "/v1/gallery"  # a page shows dozens of its pictures at once, and they cost little
REALM = 'Bearer realm="diffusegae"'
POLICY = "token"  # name of the limit in the RateLimit headers
PREFIX = "dgae_"  # lets scanners for leaked secrets recognise a token
MAKE_ONE = "python -m jobs.tokens --name NAME makes one"


class Token(BaseModel):
    """One entry of the token file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$", description="Whose token it is.")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the token, lower-case hex.")]
    requests_per_minute: Annotated[float, Field(gt=0, le=60_000, allow_inf_nan=False)]
    burst: Annotated[int, Field(ge=1, le=10_000, description="Requests that may come at once after a pause.")]


def load_tokens(path: str) -> tuple[Token, ...]:
    """Read a token file: a YAML list of entries.

    Raises:
        ConfigError: names the file, the entry and what is wrong, but never a value: it may be a token put there whole.
    """
    try:
        content = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"token file {path}: {error.strerror}; give the path of a readable file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"token file {path}: not valid YAML{where}; {MAKE_ONE}") from None
    if not isinstance(content, list) or not content:
        raise ConfigError(f"token file {path}: expected a list with at least one entry; {MAKE_ONE}")
    try:
        tokens = TypeAdapter(tuple[Token, ...]).validate_python(tuple(content))
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(each)}" for each in error.errors(include_input=False, include_url=False))
        raise ConfigError(f"token file {path}: {error.error_count()} problem(s)\n{problems}") from None
    for field in ("name", "sha256"):
        _require_unique(path, [token.name for token in tokens], [getattr(token, field) for token in tokens], field)
    return tokens


def new_token(name: str, requests_per_minute: float, burst: int) -> tuple[str, Token]:
    """Return a new random token and the entry that lets it in; ConfigError if the entry's values are not allowed."""
    secret = PREFIX + secrets.token_urlsafe(32)
    try:
        entry = Token(name=name, sha256=_digest(secret).hex(), requests_per_minute=requests_per_minute, burst=burst)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(each) for each in error.errors(include_url=False))) from None
    return secret, entry


def as_yaml(entry: Token) -> str:
    """Return an entry as a token file has it, in a list of one: files can be joined."""
    return yaml.safe_dump([entry.model_dump()], sort_keys=False)


@dataclass
class Bucket:
    """A token bucket: holds up to `burst` requests and is refilled evenly."""

    rate: float  # requests per second
    burst: int
    level: float
    filled_at: float

    def take(self, now: float) -> bool:
        """Take one request out, if there is one."""
        self.level = min(self.burst, self.level + max(0.0, now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True

    @property
    def seconds_to_next(self) -> float:
        """Seconds until a request can be taken out."""
        return max(0.0, 1 - self.level) / self.rate

    @property
    def seconds_to_full(self) -> float:
        """Seconds until the bucket is full again."""
        return (self.burst - self.level) / self.rate


class BearerTokens:
    """ASGI middleware: lets a request below /v1 pass if it has a token and the token's limit allows it."""

    def __init__(self, app: ASGIApp, tokens: Sequence[Token], clock: Callable[[], float] = time.monotonic) -> None:
        self.app, self._clock = app, clock
        self._known = [(bytes.fromhex(token.sha256), token) for token in tokens]
        now = clock()
        self._buckets = {
            token.name: Bucket(token.requests_per_minute / 60, token.burst, token.burst, now) for token in tokens
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 429, or pass on and put the remaining limit into the answer's headers."""
        path = route_path(scope)
        if scope["type"] != "http" or not is_api(path) or path in OPEN_PATHS:
            await self.app(scope, receive, send)
            return
        try:
            token = self._identify(scope)
            limits = {} if path.startswith(UNCOUNTED) else self._count(token)
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return

        async def with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_as_headers(limits)]}
            await send(message)

        await self.app(scope, receive, with_limits)

    def _identify(self, scope: Scope) -> Token:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            detail = "this service needs a token; send it as 'Authorization: Bearer TOKEN'"
            raise Problem(401, "Token missing", detail, {"WWW-Authenticate": REALM})
        scheme, _, secret = given[0].strip().partition(b" ")
        digest = hashlib.sha256(secret.strip()).digest()
        # every digest is compared, so that the time does not tell which entry was near
        found = [token for known, token in self._known if hmac.compare_digest(known, digest)]
        if len(given) == 1 and scheme.lower() == b"bearer" and found:
            return found[0]
        detail = "the token is not one of this service's; send a valid one as 'Authorization: Bearer TOKEN'"
        raise Problem(401, "Token not valid", detail, {"WWW-Authenticate": f'{REALM}, error="invalid_token"'})

    def _count(self, token: Token) -> dict[str, str]:
        """Count a request and return the headers of the limit; Problem 429 if there was none left."""
        bucket = self._buckets[token.name]
        is_allowed = bucket.take(self._clock())
        left, reset = math.floor(bucket.level), math.ceil(bucket.seconds_to_full)
        window = max(1, math.ceil(bucket.burst / bucket.rate))
        headers = {
            "RateLimit-Policy": f'"{POLICY}";q={bucket.burst};w={window}',
            "RateLimit": f'"{POLICY}";r={left};t={reset}',
        }
        if is_allowed:
            return headers
        wait = max(1, math.ceil(bucket.seconds_to_next))
        logger.info("the token of %s is over its limit", token.name)
        detail = f"more than {token.requests_per_minute:g} requests per minute; try again in {wait} s"
        raise Problem(429, "Too many requests", detail, {**headers, "Retry-After": str(wait)})


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _as_headers(values: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in values.items()]


def _explain(problem: Any) -> str:
    where = " ".join(f"entry {part + 1}:" if isinstance(part, int) else f"{part}:" for part in problem["loc"])
    expected = {
        "sha256": "expected the SHA-256 of a token: 64 lower-case hexadecimal digits in quotes",
        "name": "expected letters, digits and _ . @ -, at most 64",
    }
    last = str(problem["loc"][-1]) if problem["loc"] else ""
    if problem["type"] == "extra_forbidden":
        return f"{where} unknown key; allowed here: {', '.join(Token.model_fields)}"
    if problem["type"] == "missing":
        return f"{where} missing; {MAKE_ONE}"
    return f"{where} {expected.get(last, problem['msg'])}"


def _require_unique(path: str, names: Sequence[str], values: Sequence[str], field: str) -> None:
    first: dict[str, int] = {}
    for index, value in enumerate(values):
        if value in first:
            before = first[value]
            raise ConfigError(
                f"token file {path}: entries {before + 1} ({names[before]}) and {index + 1} ({names[index]}) have the "
                f"same {field}; every token needs its own: {MAKE_ONE}"
            )
        first[value] = index
