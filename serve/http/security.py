"""Security: the policies for browsers (headers, CORS, host names), and the addresses to listen on.

CORS is closed by saying nothing: without Access-Control headers no other site can read an answer. Another site can
still send a form blindly, so changes that a browser says come from elsewhere are refused.
"""

import base64
import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diffusegae.config.load import ConfigError
from serve.http.paths import is_api, route_path
from serve.http.tokens import BearerTokens, Token
from serve.problems import Problem

CONTENT_POLICY: Mapping[str, str] = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
INLINE = re.compile(r"<(script|style)\b[^>]*>(.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)


def require_safe_address(host: str, has_tokens: bool) -> None:
    """Refuse to listen where other machines can connect, unless they need a token.

    Raises:
        ConfigError: the address is not a loopback address, and there are no tokens.
    """
    if has_tokens or _is_loopback(host):
        return
    raise ConfigError(
        f"host {host!r} can be reached from other machines, and no tokens are set; give a token file "
        "(python -m jobs.tokens makes an entry), or listen on 127.0.0.1"
    )


def allowed_hosts(host: str, has_tokens: bool) -> tuple[str, ...]:
    """Return the names that a service listening on `host` answers to; none means any.

    Without tokens a page elsewhere could point its own name at this machine (DNS rebinding) and so talk to the service
    as if it were that page's own: only loopback names are answered then.
    """
    if has_tokens or not _is_loopback(host):
        return ()
    return tuple(dict.fromkeys((*LOOPBACK_NAMES, _bare(host))))


def protect(
    api: FastAPI,
    *,
    tokens: Sequence[Token] = (),
    hosts: Sequence[str] = (),
    pages: Mapping[str, str] | None = None,
) -> None:
    """Put tokens, host policy and headers around an application; the last middlewares that are added to it.

    `pages` maps the path of a page with inline scripts or styles to its text: its policy allows exactly those.
    """
    if tokens:
        api.add_middleware(BearerTokens, tokens=tuple(tokens))
    api.add_middleware(OriginPolicy, hosts=tuple(hosts))
    policies = {path: content_policy(text) for path, text in (pages or {}).items()}
    api.add_middleware(SecurityHeaders, policies=policies)


def content_policy(page: str = "") -> str:
    """Return the Content-Security-Policy of a page, with the hashes of its inline scripts and styles."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in INLINE.findall(page.replace("\r\n", "\n")):  # as an HTML parser reads line ends
        if text:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            hashes[kind.lower()].append(f"'sha256-{digest}'")
    policy = dict(CONTENT_POLICY)
    for kind, found in hashes.items():
        policy[f"{kind}-src"] = " ".join((policy[f"{kind}-src"], *found))
    return "; ".join(f"{name} {value}" for name, value in policy.items())


class SecurityHeaders:
    """ASGI middleware that adds the security headers to every answer, and keeps the API's out of caches by default."""

    def __init__(self, app: ASGIApp, policies: Mapping[str, str]) -> None:
        self.app, self._policies, self._policy = app, policies, content_policy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add headers when the answer starts; its body passes untouched."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = route_path(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers["Content-Security-Policy"] = self._policies.get(path, self._policy)
                if is_api(path):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, with_headers)


class OriginPolicy:
    """ASGI middleware that refuses requests under a foreign host name, and changes that come from another site."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self.app, self._hosts = app, frozenset(_bare(host) for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 421 or 403, or pass on."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._hosts:
            given = headers.getlist("host")
            if len(given) != 1 or _hostname(given[0]) not in self._hosts:
                names = ", ".join(sorted(self._hosts))
                raise Problem(421, "Host not served", f"host {', '.join(given)!r}; this service answers to {names}")
        site = headers.get("sec-fetch-site", "none")  # browsers send it to https and loopback addresses
        if scope["method"] not in SAFE_METHODS and site not in {"none", "same-origin"}:
            detail = f"a {scope['method']} that a page of another origin sends; use the service's own page or a program"
            raise Problem(403, "Cross-site request", detail)


def _is_loopback(host: str) -> bool:
    bare = _bare(host)
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def _bare(host: str) -> str:
    return host.strip().lower().removeprefix("[").removesuffix("]").rstrip(".")


def _hostname(header: str) -> str | None:
    """Return the name in a Host header without its port; None if it is not one."""
    try:
        parts = urlsplit(f"//{header}")
        is_plain = parts.netloc == header and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return _bare(parts.hostname) if is_plain and parts.hostname else None
