import base64
import hashlib
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.testclient import TestClient

from diffusegae.config.load import ConfigError
from serve.http.api import DOCS_PAGE, create_api
from serve.http.checks import Limits
from serve.http.security import allowed_hosts, content_policy, protect, require_safe_address
from serve.http.tokens import new_token

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class InlineParts(HTMLParser):
    """Collects what a browser would execute or apply from inside a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.parts: dict[str, list[str]] = {"script": [], "style": []}
        self.attributes: set[str] = set()
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        if self._open in self.parts:
            self.parts[self._open].append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def protected(service: Any, **options: Any) -> TestClient:
    api = create_api(service, Limits())
    protect(api, pages={"/docs": DOCS_PAGE.read_text()}, **options)
    return TestClient(api)


def test_every_answer_has_the_headers(service: Any) -> None:
    client = protected(service)
    answers = [client.get(path) for path in ("/v1/schema", "/v1/nothing", "/docs", "/openapi.json", "/nothing")]
    answers.append(client.post("/v1/edit", json={}))
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert "camera=()" in answer.headers["permissions-policy"]
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        is_api = answer.request.url.path.startswith("/v1")
        assert ("no-store" in answer.headers.get("cache-control", "")) == is_api
    assert answers[0].headers["content-security-policy"] == PAGE_POLICY


def test_refusals_have_the_headers_too(service: Any) -> None:
    _, token = new_token("alice", 60, 1)
    client = protected(service, tokens=[token], hosts=["localhost"])
    unauthorised = client.get("/v1/schema", headers={"Host": "localhost"})
    misdirected = client.get("/v1/schema")
    assert (unauthorised.status_code, misdirected.status_code) == (401, 421)
    for answer in (unauthorised, misdirected):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["content-security-policy"] == PAGE_POLICY
        assert answer.headers["cache-control"] == "no-store"


def test_the_docs_page_may_run_exactly_its_own_script_and_style(service: Any) -> None:
    answer = protected(service).get("/docs")
    inline = InlineParts(answer.text)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert not {name for name in inline.attributes if name.startswith("on") or name == "style"}
    for kind, parts in inline.parts.items():
        hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in parts}
        assert {word for word in policy[f"{kind}-src"].split() if word.startswith("'sha256")} == hashes
    assert "'unsafe" not in answer.headers["content-security-policy"]


def test_the_policy_of_a_page_follows_its_text() -> None:
    assert content_policy() == PAGE_POLICY
    assert content_policy('<script src="/page/main.js"></script><p>text</p>') == PAGE_POLICY
    one, other = (content_policy(f"<STYLE>{text}</STYLE>") for text in ("a {}", "b {}"))
    assert one != other
    assert "script-src 'self'; style-src 'self' 'sha256-" in one
    assert content_policy("<script>\n1\n</script>") == content_policy("<script>\r\n1\r\n</script>")
    known = (
        "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"  # of alert('Hello, world.'), from the CSP specification
    )
    assert known in content_policy("<script>alert('Hello, world.');</script>")


def test_cors_is_closed(service: Any) -> None:
    client = protected(service)
    preflight = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    answers = [
        client.options("/v1/edit", headers=preflight),
        client.options("/v1/jobs", headers=preflight),
        client.get("/v1/schema", headers={"Origin": "https://elsewhere.example"}),
    ]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answers[0].status_code == 405


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_form_of_another_site_is_refused(service: Any, site: str) -> None:
    client = protected(service)
    answer = client.post("/v1/reconstruct", files={"source": ("a", b"x")}, headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/docs", headers={"Sec-Fetch-Site": site}).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}])
def test_the_own_page_and_programs_may_post(service: Any, headers: dict[str, str]) -> None:
    assert protected(service).post("/v1/edit", json={}, headers=headers).status_code == 422


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000", "localhost."])
def test_a_loopback_service_answers_to_loopback_names(service: Any, host: str) -> None:
    client = protected(service, hosts=allowed_hosts("127.0.0.1", has_tokens=False))
    assert client.get("/v1/schema", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["elsewhere.example", "localhost.elsewhere.example", "127.0.0.1@a.example", "", "::1", "a:b", "[::1"],
)
def test_a_loopback_service_answers_to_no_other_name(service: Any, host: str) -> None:
    client = protected(service, hosts=allowed_hosts("127.0.0.1", has_tokens=False))
    for path in ("/v1/schema", "/docs"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert "localhost" in answer.json()["detail"]


def test_two_host_headers_are_refused(service: Any) -> None:
    client = protected(service, hosts=["localhost"])
    assert client.get("/docs", headers=[("Host", "localhost"), ("Host", "localhost")]).status_code == 421


def test_which_hosts_are_answered() -> None:
    assert allowed_hosts("127.0.0.1", has_tokens=False) == ("localhost", "127.0.0.1", "::1")
    assert allowed_hosts("127.0.0.9", has_tokens=False) == ("localhost", "127.0.0.1", "::1", "127.0.0.9")
    assert allowed_hosts("127.0.0.1", has_tokens=True) == ()
    assert allowed_hosts("0.0.0.0", has_tokens=True) == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "[::1]", "localhost", "LocalHost"])
def test_loopback_is_safe_without_tokens(host: str) -> None:
    require_safe_address(host, has_tokens=False)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "10.0.0.1", "192.168.1.2", "myhost", "localhost.example", "1270.0.0.1", "127.0.0.1.x"]
)
def test_other_addresses_need_tokens(host: str) -> None:
    require_safe_address(host, has_tokens=True)
    with pytest.raises(ConfigError, match=r"no tokens.*jobs\.tokens.*127\.0\.0\.1") as caught:
        require_safe_address(host, has_tokens=False)
    assert repr(host) in str(caught.value)
