"""Two thousand hostile uploads, the same ones for the same seed, and a command that sends them to a running service:

python -m tests.serve.hostile_files --count 2000 --url http://127.0.0.1:8000 --pid PID
"""

import argparse
import base64
import collections
import io
import json
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx
import psutil
from PIL import Image

from tests.serve.hostile_bodies import END, FORM, JSON, field, hostile_bodies
from tests.serve.hostile_pictures import MAKERS, largest, picture

LONGEST_DETAIL = 2000  # characters of a refusal: it must not send the upload back
NAMES = (
    "a.png",
    "a.jpg",
    "a.svg",
    "../../etc/passwd",
    "a\0.png",
    'a".png',
    "é.png",
    "a" * 3000,
    "CON",
    "a\r\nX: y",
    "",
)
TYPES = (
    "image/png",
    "image/jpeg",
    "image/webp",
    "text/html",
    "application/x-httpd-php",
    "image/svg+xml",
    "",
    "a/b; c=\x7f",
)
WARM_UP = 10  # times that the largest honest pictures are sent first
REQUESTS = ("reconstruct", "encode", "edit", "interpolate")


@dataclass(frozen=True)
class HostileFile:
    """A file, what it is called and said to be, and the text that stands for it in JSON."""

    kind: str
    data: bytes
    name: str
    content_type: str
    text: Any


@dataclass(frozen=True)
class Verdict:
    """How a service answered: the status, and what is wrong with the answer."""

    status: int
    fault: str = ""


def hostile_files(count: int, seed: int = 0) -> Iterator[HostileFile]:
    """Yield files of all kinds in turn; a file depends on the seed and its number alone."""
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        maker = MAKERS[number % len(MAKERS)]
        data = maker(rng)
        yield HostileFile(maker.__name__, data, rng.choice(NAMES), rng.choice(TYPES), as_text(data, rng))


def as_text(data: bytes, rng: random.Random) -> Any:
    """Return what JSON holds for a file: base64 or a data: URL in most cases, else something close to it."""
    text = base64.b64encode(data).decode()
    if rng.random() < 0.7:
        return rng.choice(("", "data:image/png;base64,", "data:,", "data:text/html;base64,")) + text
    odd = (
        text.rstrip("="),
        text + "=",
        text[:40] + "\n" + text[40:],
        base64.urlsafe_b64encode(data).decode(),
        f"data:image/png;base64;{text}",
        f"data:image/png;base64,data:image/png;base64,{text}",
        f"DATA:image/png;base64,{text}",
        f"file:///etc/passwd,{text}",
        "http://127.0.0.1:1/x.png",
        data.decode("latin-1"),
        "\ud800" + text,
        list(data[:50]),
        {"data": text},
        12,
        None,
    )
    return rng.choice(odd)


def send_file(client: Any, file: HostileFile, number: int, donor: str) -> Iterator[tuple[str, Verdict]]:
    """Send a file in a form and in JSON, to one operation after the other; `donor` is an attribute of the model."""
    operation = REQUESTS[number // len(MAKERS) % len(REQUESTS)]
    good = picture("PNG")
    text = base64.b64encode(good).decode()
    numbers: dict[str, int] = {} if operation == "encode" else {"steps": 1}
    others, name = {"source": good}, "source"
    content: dict[str, Any] = {"source": text}
    if operation == "edit":
        name = f"donors.{donor}"
        content["donors"] = {donor: file.text}
    elif operation == "interpolate":
        name, numbers = "target", {"frames": 2, **numbers}
        content["target"] = file.text
    else:
        others, content = {}, {"source": file.text}
    path, form = f"/v1/{operation}", as_form(file, name, others, numbers)
    yield f"{file.kind}, form, {operation}", judge(client.post(path, content=form, headers={"Content-Type": FORM}))
    body = json.dumps(content | numbers).encode()
    yield f"{file.kind}, JSON, {operation}", judge(client.post(path, content=body, headers={"Content-Type": JSON}))


def as_form(file: HostileFile, name: str, others: Mapping[str, bytes], numbers: Mapping[str, int]) -> bytes:
    """Write a form as no careful program would: name and type of the file as they are."""
    disposition = f'name="{name}"; filename="{file.name}"'.encode()
    parts = [field(disposition, file.data, f"\r\nContent-Type: {file.content_type}".encode())]
    parts += [field(f'name="{key}"; filename="good.png"'.encode(), data) for key, data in others.items()]
    parts += [field(f'name="{key}"'.encode(), str(value).encode()) for key, value in numbers.items()]
    return b"".join(parts) + END


def send_body(client: Any, body: bytes, content_type: str) -> Iterator[tuple[str, Verdict]]:
    """Send a hostile body to every operation that takes one."""
    headers = {"Content-Type": content_type} if content_type else {}
    for operation in ("edit", "recombine", "interpolate", "reconstruct", "encode"):
        answer = client.post(f"/v1/{operation}", content=body, headers=headers)
        yield operation, judge(answer)


def judge(answer: Any) -> Verdict:
    """Return what is wrong with an answer: it must be a right picture or code, or a problem of the client's making."""
    status, kind = int(answer.status_code), answer.headers.get("content-type", "")
    if status == 200:
        try:
            _require_right(answer.content, kind)
        except (ValueError, OSError, KeyError) as error:
            return Verdict(status, f"a wrong {kind}: {error}")
        return Verdict(status)
    if not 400 <= status < 500:
        return Verdict(status, f"status {status}: {answer.text[:300]}")
    if kind != "application/problem+json":
        return Verdict(status, f"{status} as {kind}: {answer.text[:300]}")
    problem = answer.json()
    if problem.get("status") != status or not all(problem.get(key) for key in ("type", "title", "detail")):
        return Verdict(status, f"an incomplete problem: {problem}")
    if len(problem["detail"]) > LONGEST_DETAIL:
        return Verdict(status, f"a detail of {len(problem['detail'])} characters: {problem['detail'][:200]}")
    return Verdict(status)


def _require_right(content: bytes, kind: str) -> None:
    if kind == "application/json":
        if not json.loads(content)["parts"]:
            raise ValueError("no parts")
        return
    with Image.open(io.BytesIO(content), formats=(kind.removeprefix("image/").upper(),)) as image:
        image.load()


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


class PeakMemory:
    """Watches the resident memory of this process, or of another with its children; `peak` is in bytes."""

    def __init__(self, pid: int | None = None, seconds: float = 0.005) -> None:
        self._process, self._seconds, self._done = psutil.Process(pid), seconds, threading.Event()
        self._has_children = pid is not None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = self.now()

    def now(self) -> int:
        """Return the resident memory at this moment."""
        total = 0
        children = self._process.children(recursive=True) if self._has_children else []
        for process in (self._process, *children):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self._seconds):
            self.peak = max(self.peak, self.now())


def main() -> None:
    """Send the files to a running service and print the answers by status, what is wrong, and the service's memory."""
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--url", required=True, help="address of the service")
    options.add_argument("--token", default="", help="bearer token, if it needs one")
    options.add_argument("--pid", type=int, help="process whose memory, with its children's, is watched")
    arguments = options.parse_args()
    headers = {"Authorization": f"Bearer {arguments.token}"} if arguments.token else {}
    statuses: collections.Counter[int] = collections.Counter()
    faults: list[str] = []
    with httpx.Client(base_url=arguments.url, headers=headers, timeout=300) as client:
        donor = client.get("/v1/schema").raise_for_status().json()["attributes"][0]["name"]

        def note(where: str, verdict: Verdict) -> None:
            statuses[verdict.status] += 1
            if verdict.fault:
                faults.append(f"{where}: {verdict.fault}")
                print(faults[-1], flush=True)

        with PeakMemory(arguments.pid, seconds=0.02) as honest:
            for data in largest() * WARM_UP:
                client.post("/v1/encode", files={"source": data}).raise_for_status()
        before = honest.now()
        with PeakMemory(arguments.pid, seconds=0.02) as hostile:
            for name, body, content_type in hostile_bodies():
                for operation, verdict in send_body(client, body, content_type):
                    note(f"{name}, {operation}", verdict)
            for number, file in enumerate(hostile_files(arguments.count, arguments.seed)):
                for where, verdict in send_file(client, file, number, donor):
                    note(f"file {number}: {where}", verdict)
    print(f"{sum(statuses.values())} requests:", ", ".join(f"{status}: {n}" for status, n in sorted(statuses.items())))
    if arguments.pid:
        peaks = f"{mebibytes(honest.peak)} with the largest honest pictures, {mebibytes(hostile.peak)} with these files"
        print(f"memory at most: {peaks}")
        print(f"memory at rest: {mebibytes(before)} before, {mebibytes(hostile.now())} after")
    print(f"{len(faults)} wrong answers")


if __name__ == "__main__":
    main()
