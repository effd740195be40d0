"""A server that answers what a test wrote down, byte for byte: also half an answer, or none."""

import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.ports import free_port

DROP = b""  # close the connection without a word


@dataclass
class Script:
    """What is answered to the next requests, in turn, and which requests came."""

    address: str
    answers: list[bytes] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, *, cut: int = 0) -> bytes:
    """Return an answer; `cut` bytes are missing at its end, though its length announces them."""
    fields = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body[: len(body) - cut]


def json_answer(body: bytes, status: int = 200, *, cut: int = 0) -> bytes:
    return answer(status, body, {"Content-Type": "application/json"}, cut=cut)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> bytes:
    body = f'{{"type": "/problems/x", "title": "Some title", "status": {status}, "detail": "{detail}"}}'.encode()
    return answer(status, body, {"Content-Type": "application/problem+json", **(headers or {})})


def events(*pieces: bytes) -> bytes:
    """Return a stream of events that ends with the connection, as HTTP/1.0 does it."""
    return b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(pieces)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = self.rfile.read(int(lengths[0].partition(b":")[2])) if lengths else b""
        self.server.script.requests.append(head + body)
        self.wfile.write(self.server.script.answers.pop(0))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    script: Script


@contextmanager
def scripted_server() -> Iterator[Script]:
    port = free_port()
    with _Server(("127.0.0.1", port), _Handler) as server:
        server.script = Script(f"http://127.0.0.1:{port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.script
        finally:
            server.shutdown()
            thread.join()
