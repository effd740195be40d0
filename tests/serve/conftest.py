"""A tiny model behind the API: real editor, real routes, no Ray."""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from diffusegae.checkpoint import CheckpointMeta, Position, save_checkpoint
from diffusegae.config.load import load_config
from diffusegae.config.model import SamplingConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.loading import load_editor
from diffusegae.editing.method import Images
from diffusegae.editing.operations import Edit, Generate, Interpolate, Recombine, Reconstruct
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.pixels import to_pixels
from diffusegae.schema import Attribute, AttributeSchema
from serve.http.api import create_api
from serve.http.checks import Limits
from serve.problems import Problem
from serve.served import ServedModel, find_model
from serve.tasks import Encoded, GeneratedImages, JobState, Presentation, SamplingProgress, Task

PRESETS = Path(__file__).parents[2] / "jobs" / "configs"
VALUES = {"letter": ("a", "b", "c"), "colour": ("red", "blue")}
LABEL = "diffusegae/7"


class LocalService:
    """Does the tasks at once, in this process; what it was asked and what became of it can be looked up."""

    def __init__(self, editor: Editor, models: tuple[ServedModel, ...], centroids: Mapping[str, Any]) -> None:
        self.editor, self.models, self.centroids = editor, models, centroids
        self.failure: Exception | None = None
        self.jobs: dict[str, JobState] = {}
        self.asked: list[tuple[str, Task | Images]] = []
        self.closed = 0  # streams that were closed

    def served(self, name: str | None = None) -> ServedModel:
        return find_model(self.models, name)

    def all_served(self) -> tuple[ServedModel, ...]:
        return self.models

    async def generate(self, model: str, task: Task) -> GeneratedImages:
        self._begin(model, task)
        return self._generate(task)

    async def follow(self, model: str, task: Task) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        try:
            self._begin(model, task)
            generated = self._generate(task)
            yield SamplingProgress(0, task.sampling.steps, None)
            yield SamplingProgress(1, task.sampling.steps, generated.pictures)
            yield generated
        finally:
            self.closed += 1

    async def encode(self, model: str, image: Images, sampling: SamplingConfig | None) -> Encoded:
        self._begin(model, image)
        codes = self.editor.encode(image)
        noise = None
        if sampling is not None:
            noise = sampling_as(self.editor, sampling).infer_noise(image, codes)[0].numpy()
        return Encoded(codes[0].numpy(), noise, LABEL)

    async def check(self) -> str:
        if self.failure is not None:
            raise self.failure
        return LABEL

    async def start_job(self, model: str, task: Task, presentation: Presentation) -> JobState:
        self._begin(model, task)
        id = f"job-{len(self.jobs)}"
        steps = task.sampling.steps
        self.jobs[id] = JobState(id, "done", steps, steps, presentation, self._generate(task))
        return dataclasses.replace(self.jobs[id], status="queued", step=0, generated=None)

    async def job(self, id: str) -> JobState:
        if id not in self.jobs:
            raise Problem(404, "Unknown job", f"there is no job {id!r}")
        return self.jobs[id]

    async def watch_job(self, id: str) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        state = await self.job(id)
        if state.problem is not None:
            raise Problem(int(state.problem["status"]), str(state.problem["title"]), str(state.problem["detail"]))
        yield SamplingProgress(state.step, state.steps, None)
        if state.generated is not None:
            yield state.generated

    async def cancel_job(self, id: str) -> None:
        del self.jobs[id]

    def _begin(self, model: str, task: Task | Images) -> None:
        if self.failure is not None:
            raise self.failure
        self.asked.append((model, task))

    def _generate(self, task: Task) -> GeneratedImages:
        return GeneratedImages(generate(sampling_as(self.editor, task.sampling), self.centroids, task), LABEL)


def sampling_as(editor: Editor, sampling: SamplingConfig) -> Editor:
    return editor.with_sampling(sampling.model_copy(update={"clip": editor.sampling.clip}))


def generate(editor: Editor, centroids: Mapping[str, Any], task: Task) -> Any:
    """Do a task with the editor's own methods."""

    def donors_of(donors: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        return {
            name: torch.tensor(centroids[name][donor]) if isinstance(donor, str) else donor
            for name, donor in donors.items()
        }

    match task.operation:
        case Interpolate(source, target, names, frames):
            return np.concatenate([to_pixels(frame) for frame in editor.interpolate(source, target, names, frames)])
        case Reconstruct(source, seeds):
            return to_pixels(editor.reconstruct(source, seeds))
        case Generate(codes, x_T):
            return to_pixels(editor.generate(codes, editor.noise(x_T)))
        case Edit() | Recombine() as operation:
            own = dataclasses.replace(operation, donors=donors_of(operation.donors))
            return to_pixels(editor.perform(own))


@pytest.fixture(scope="session")
def config() -> PipelineConfig:
    attributes = "data.attributes={letter: {width: 12}, colour: {width: 12}}"
    return load_config("smoke", ["name=tiny", attributes, "data.holdout={images: 20}", "sampling.steps=4"], PRESETS)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, config: PipelineConfig) -> Path:
    attributes = (
        Attribute(name=name, column=name, group_column=name, values=values, group_values=values, width=12)
        for name, values in VALUES.items()
    )
    schema = AttributeSchema(attributes=tuple(attributes))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DiffuseGAE(config.model, schema)
        for parameter in model.parameters():  # layers that start at zero would hide what an edit changes
            parameter.data.add_(0.1 * torch.randn(parameter.shape))
    meta = CheckpointMeta(
        stage="finetune", samples_seen=64, positions=(Position(),), config=config, attributes=schema, versions={}
    )
    directory = tmp_path_factory.mktemp("served") / "checkpoint"
    save_checkpoint(directory, meta, {"ema": model.state_dict()})
    return directory


@pytest.fixture(scope="session")
def editor(checkpoint: Path) -> Editor:
    return load_editor(checkpoint)


@pytest.fixture(scope="session")
def centroids() -> Mapping[str, Mapping[str, list[float]]]:
    """The part of z_dis that a value's name stands for; `letter` only."""
    values = np.random.default_rng(1).normal(size=(len(VALUES["letter"]), 12)).astype(np.float32)
    return {"letter": dict(zip(VALUES["letter"], values.tolist(), strict=True))}


@pytest.fixture(scope="session")
def served(editor: Editor, centroids: Mapping[str, Any]) -> ServedModel:
    return ServedModel(
        alias="diffusegae",
        name="diffusegae",
        version="7",
        stage="finetune",
        samples_seen=64,
        image_size=editor.image_size,
        num_timesteps=1000,
        default_steps=editor.sampling.steps,
        attributes=editor.schema,
        samplers=("ddim", "dpm++"),
        centroid_values={name: tuple(values) for name, values in centroids.items()},
    )


@pytest.fixture
def service(editor: Editor, served: ServedModel, centroids: Mapping[str, Any]) -> LocalService:
    plain = served.model_copy(update={"alias": "plain", "version": "6", "centroid_values": {}})
    return LocalService(editor, (served, plain), centroids)


@pytest.fixture
def limits() -> Limits:
    return Limits(max_request_bytes=200_000, max_pixels=200 * 200, max_steps=100, max_frames=4, max_size=256)


@pytest.fixture
def client(service: LocalService, limits: Limits) -> TestClient:
    return TestClient(create_api(service, limits))
