"""Servers for the client: one that does what a test says, and the real API around a tiny model."""

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI

from serve.http.api import create_api
from serve.http.checks import Limits
from tests.client.fronts import AsyncFront, Front, SyncFront
from tests.client.scripted_server import Script, scripted_server
from tests.ports import free_port
from tests.serve.conftest import (  # noqa: F401 - fixtures
    LocalService,
    centroids,
    checkpoint,
    config,
    editor,
    limits,
    served,
    service,
)


@pytest.fixture(params=[SyncFront, AsyncFront], ids=["sync", "async"])
def front(request: pytest.FixtureRequest) -> Front:
    made: Front = request.param()
    return made


@pytest.fixture
def script() -> Iterator[Script]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def api(service: LocalService, limits: Limits) -> FastAPI:  # noqa: F811
    return create_api(service, limits)


@pytest.fixture
def address(api: FastAPI) -> Iterator[str]:
    """Serve the API on a free port of this machine."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(api, port=port, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
