"""The deployment of a model: each replica holds one registered version, and takes another over while it works."""

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from diffusegae.checkpoint import read_tensors
from diffusegae.config.inference import InferenceConfig
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.loading import load_editor
from diffusegae.editing.method import Images
from diffusegae.tracking.registry import VALUES, download_checkpoint
from serve.models.metrics import ReplicaMetrics
from serve.models.replica import LoadedModel, OnDone
from serve.problems import Problem
from serve.served import ServedModel
from serve.tasks import Encoded, GeneratedImages, SamplingProgress, Task

logger = logging.getLogger(__name__)
SWITCH_SECONDS = 0.0005  # the thread that denoises asks for Python between any two operations, and waits so long for it
CHECK_SECONDS, SCHEMA_SECONDS, POLL_SECONDS = 25.0, 20.0, 0.1


class ModelSource(BaseModel):
    """The registered version that a replica loads: its origin, its device and its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tracking_uri: str
    device: str
    inference: InferenceConfig | None = None
    max_images: int
    cache_bytes: int
    served: ServedModel


class EditorDeployment:
    """Holds one version of a model; a rollout loads and checks another one beside it, which then takes over."""

    def __init__(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self._model: LoadedModel | None = None
        self._metrics = ReplicaMetrics()
        self._reporting: asyncio.Task[None] | None = None

    async def reconfigure(self, config: dict[str, Any]) -> None:
        """Load the version that the config names; the one before answers until then and finishes its requests.

        A version that cannot be loaded or reconstructs no picture is refused: the one before stays, and the log says
        why. To raise would have Ray replace this replica by one that has nothing but the broken version.

        Raises:
            ModelCheckError: there is none before.
        """
        source = ModelSource.model_validate(config)
        before = self._model
        if before is not None and before.label == source.served.label:
            return
        try:
            loaded = await self._load_checked(source)
        except Exception:
            if before is None:
                raise
            logger.exception("%s is not put in; %s stays", source.served.label, before.label)
            return
        self._model = loaded
        if self._reporting is None:
            self._reporting = asyncio.create_task(self._metrics.keep_reporting(lambda: self._current().engine))
        logger.info("serves %s on %s", loaded.label, source.device)
        if before is not None:
            await asyncio.to_thread(before.close)

    async def generate(self, task: Task, schema: str) -> GeneratedImages:
        """Perform a task that ends in pictures; it was checked against the schema of that fingerprint."""
        return await (await self._of_schema(schema)).generate(task)

    async def follow(self, task: Task, schema: str) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        """Perform a task that ends in pictures and report its progress."""
        model = await self._of_schema(schema)
        async for item in model.follow(task):
            yield item

    async def encode(self, image: Images, sampling: SamplingConfig | None, schema: str) -> Encoded:
        """Read an image's z_dis and, with sampling, its x_T."""
        return await (await self._of_schema(schema)).encode(image, sampling)

    async def check(self) -> str:
        """Return the label of the loaded version."""
        return self._current().label

    async def check_health(self) -> None:
        """Have the model reconstruct a picture; Ray calls this, and replaces the replica when it raises."""
        await self._current().check(CHECK_SECONDS)

    async def _of_schema(self, schema: str) -> LoadedModel:
        """Return the version, once it has the schema: in a rollout of another one, the ingress may be first."""
        deadline = time.monotonic() + SCHEMA_SECONDS
        while (model := self._current()).schema != schema:
            if time.monotonic() > deadline:
                detail = f"{model.label} has other attributes than this request was checked against; send it again"
                raise Problem(503, "Model not available", detail, {"Retry-After": "1"})
            await asyncio.sleep(POLL_SECONDS)
        return model

    async def _load_checked(self, source: ModelSource) -> LoadedModel:
        """Return a version that has reconstructed a picture; ModelCheckError if it does not."""
        loaded = await asyncio.to_thread(load_model, source, self._metrics.count_request)
        try:
            await loaded.check(CHECK_SECONDS)
        except BaseException:
            await asyncio.to_thread(loaded.close)
            raise
        return loaded

    def _current(self) -> LoadedModel:
        assert self._model is not None, "Ray calls reconfigure before anything else"
        return self._model


def load_model(source: ModelSource, on_done: OnDone | None = None) -> LoadedModel:
    """Download a registered version, warm it up and put it to work on the source's device."""
    served = source.served
    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{served.name}/{served.version}"
        checkpoint = download_checkpoint(source.tracking_uri, uri, Path(folder))
        values = read_tensors(checkpoint, VALUES) if served.centroid_values else {}
        editor = load_editor(checkpoint, source.device, inference=source.inference)
    return LoadedModel(editor, values, served.label, source.max_images, source.cache_bytes, on_done)
