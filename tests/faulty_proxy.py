"""A proxy before a real S3 server that fails where a test wants it to: an error for the first of chosen requests."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

_OWN_HEADERS = ("transfer-encoding", "connection", "content-length", "server", "date")


@dataclass
class Faults:
    """Which requests fail, with what: those for which `chosen(method, path)` is true, the first `times` of them."""

    chosen: Callable[[str, str], bool]
    times: int
    status: int = 503
    code: str = "SlowDown"
    failed: list[str] = field(default_factory=list)

    def take(self, method: str, path: str) -> bool:
        """Tell whether this request is to fail, and count it."""
        fails = len(self.failed) < self.times and self.chosen(method, path)
        if fails:
            self.failed.append(f"{method} {path}")
        return fails


@contextmanager
def faulty_proxy(target: str, faults: Faults) -> Iterator[str]:
    """Forward requests on a free port of 127.0.0.1 to `target`, but for those that fail; give the proxy's address."""
    upstream = urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            body = self.read_body()
            if faults.take(self.command, self.path):
                text = f'<?xml version="1.0"?><Error><Code>{faults.code}</Code><Message>failed</Message></Error>'
                self.answer(faults.status, [("Content-Type", "application/xml")], text.encode())
                return
            connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=30)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
                connection.request(self.command, self.path, body, headers)  # with the host: it is signed
                answer = connection.getresponse()
                self.answer(answer.status, answer.getheaders(), answer.read(), answer.getheader("Content-Length"))
            finally:
                connection.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any  # noqa: N815 (the names are the base class')

        def read_body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in _OWN_HEADERS:
                    self.send_header(name, value)
            self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
