"""A headless Chromium for the page's tests and pictures, and an application on a free port for it to open."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from tests.ports import free_port

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing of the browser's own may reach out: what the page asks for is all that is asked for.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str | None:
    """Return the path of this machine's Chromium, None if it has none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser with a profile of its own that is thrown away."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def listening(api: FastAPI) -> Iterator[str]:
    """Serve an application in a thread and yield its address."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(api, host="127.0.0.1", port=port, log_level="error", ws="none", lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        server.force_exit = True  # a stream that nobody reads any more must not hold it
        thread.join(30)


class Watch:
    """What a page does that it must not: errors, violations of its policy, requests to elsewhere."""

    def __init__(self, page: Page, origin: str) -> None:
        self.complaints: list[str] = []
        self.failed: list[str] = []  # requests that were refused; tests that provoke that look here
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("request", lambda request: self._request(request.url, origin))
        page.on("response", lambda response: self._response(response.status, response.url))

    def _console(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.complaints.append(f"{kind}: {text}")

    def _request(self, url: str, origin: str) -> None:
        if not url.startswith((origin, "data:", "blob:")):
            self.complaints.append(f"request to {url}")

    def _response(self, status: int, url: str) -> None:
        if status >= 400:
            self.failed.append(f"{status} {url}")
