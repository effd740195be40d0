"""The two deployments: a CPU ingress that holds the API, and the editor that holds the model.

Both get the served version as `user_config`, so that another version can be put into a running service.
"""

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from diffusegae.editing.editor import Editor
from diffusegae.editing.loading import load_editor
from diffusegae.tracking.registry import download_checkpoint

from .api import create_api
from .checks import Limits
from .messages import ServedModel
from .problems import Problem
from .tasks import Encode, Encoded, Painted, PictureTask, encode, paint

logger = logging.getLogger(__name__)
T = TypeVar("T")


class ModelSource(BaseModel):
    """Which registered version a replica loads, from where, onto what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tracking_uri: str
    device: str
    served: ServedModel


class EditorDeployment:
    """Holds one editor and denoises in one thread of its own, so that the event loop stays free for health checks."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="denoise")
        self._editor: Editor
        self._label = ""

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Load the version that the config names; the one before answers until then."""
        source = ModelSource.model_validate(config)
        if source.served.label == self._label:
            return
        self._editor = await asyncio.to_thread(_load, source)
        self._label = source.served.label
        logger.info("serves %s on %s", self._label, source.device)

    async def paint(self, task: PictureTask) -> Painted:
        """Do a task that ends in pictures."""
        editor, label = self._editor, self._label
        return Painted(await self._in_thread(lambda: paint(editor, task)), label)

    async def encode(self, task: Encode) -> Encoded:
        """Read a picture's z_dis."""
        editor, label = self._editor, self._label
        return Encoded(await self._in_thread(lambda: encode(editor, task)), label)

    async def check(self) -> str:
        """Return the label of the loaded version."""
        return self._label

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


@serve.ingress()
class IngressDeployment:
    """Validates requests on the CPU and hands the tasks to the editor's replicas."""

    def __init__(self, editor: DeploymentHandle[EditorDeployment], limits: Limits) -> None:
        self._handle, self._limits = editor, limits
        self._served: ServedModel

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the API in the replica; Ray calls this."""
        return create_api(self, self._limits)

    def reconfigure(self, config: dict[str, Any]) -> None:
        """Take over what is known of the served version."""
        self._served = ServedModel.model_validate(config)

    @property
    def served(self) -> ServedModel:
        """The version that requests are checked against."""
        return self._served

    async def paint(self, task: PictureTask) -> Painted:
        """Have a task that ends in pictures done."""
        return await _answer(lambda: self._handle.paint.remote(task))

    async def encode(self, task: Encode) -> Encoded:
        """Have a picture's z_dis read."""
        return await _answer(lambda: self._handle.encode.remote(task))

    async def check(self) -> str:
        """Ask a replica which version it holds."""
        return await _answer(lambda: self._handle.check.remote())


async def _answer(call: Callable[[], Awaitable[T]]) -> T:
    """Await a replica's answer; a replica that dies is replaced by another once, for tasks have no side effects."""
    try:
        try:
            return await call()
        except RayActorError:
            logger.warning("a replica died during a request; trying another")
            return await call()
    except BackPressureError as error:
        detail = "too many requests are waiting; try again in a few seconds"
        raise Problem(503, "Overloaded", detail, {"Retry-After": "2"}) from error
    except (RayActorError, DeploymentUnavailableError) as error:
        detail = "no replica of the model answers; try again in a few seconds"
        raise Problem(503, "Model not available", detail, {"Retry-After": "5"}) from error


def _load(source: ModelSource) -> Editor:
    served = source.served
    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{served.name}/{served.version}"
        return load_editor(download_checkpoint(source.tracking_uri, uri, Path(folder)), source.device)
