"""A tiny model behind the API: real editor, real routes, no Ray."""

from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from diffusegae.checkpoint import CheckpointMeta, Position, save_checkpoint
from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.loading import load_editor
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.schema import Attribute, AttributeSchema
from serve.api import create_api
from serve.checks import Limits
from serve.messages import ServedModel
from serve.tasks import Encode, Encoded, Painted, PictureTask, encode, paint

PRESETS = Path(__file__).parents[2] / "jobs" / "configs"
VALUES = {"letter": ("a", "b", "c"), "colour": ("red", "blue")}
LABEL = "diffusegae/7"


class LocalService:
    """Does the tasks at once, in this process."""

    def __init__(self, editor: Editor, served: ServedModel) -> None:
        self.editor, self.served = editor, served
        self.failure: Exception | None = None

    async def paint(self, task: PictureTask) -> Painted:
        if self.failure is not None:
            raise self.failure
        return Painted(paint(self.editor, task), LABEL)

    async def encode(self, task: Encode) -> Encoded:
        return Encoded(encode(self.editor, task), LABEL)

    async def check(self) -> str:
        if self.failure is not None:
            raise self.failure
        return LABEL


@pytest.fixture(scope="session")
def config() -> PipelineConfig:
    attributes = "data.attributes={letter: {width: 12}, colour: {width: 12}}"
    return load_config("smoke", ["name=tiny", attributes, "sampling.steps=4"], PRESETS)


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
def served(editor: Editor) -> ServedModel:
    return ServedModel(
        name="diffusegae",
        version="7",
        stage="finetune",
        samples_seen=64,
        image_size=editor.image_size,
        num_timesteps=1000,
        default_steps=editor.sampling.steps,
        attributes=editor.schema,
    )


@pytest.fixture
def service(editor: Editor, served: ServedModel) -> LocalService:
    return LocalService(editor, served)


@pytest.fixture
def client(service: LocalService) -> TestClient:
    limits = Limits(max_request_bytes=200_000, max_pixels=200 * 200, max_steps=100, max_frames=4)
    return TestClient(create_api(service, limits))
