"""The deployment of a model without Ray around it: it loads once, checks what it takes over, drains what it leaves."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusegae.checkpoint import read_meta, read_tensors, save_checkpoint
from diffusegae.config.inference import InferenceConfig
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.operations import Reconstruct
from diffusegae.pixels import to_pixels, to_tensor
from serve.models import editors
from serve.models.editors import EditorDeployment, ModelSource, load_model
from serve.models.replica import LoadedModel, ModelCheckError
from serve.problems import Problem
from serve.served import ServedModel
from serve.tasks import GeneratedImages, Task

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
IMAGE = to_tensor(PIXELS)[None]
TASK = Task(Reconstruct(IMAGE, [1]), SamplingConfig(steps=2))
LONG = Task(Reconstruct(IMAGE), SamplingConfig(steps=100))


def source_of(served: ServedModel, **changes: Any) -> dict[str, object]:
    source = ModelSource(
        tracking_uri="sqlite:///nowhere.db",
        device="cpu",
        max_images=4,
        cache_bytes=0,
        served=served.model_copy(update={"centroid_values": {}, **changes}),
    )
    return source.model_dump(mode="json")


@pytest.fixture
def asked() -> list[str]:
    """Which versions were downloaded."""
    return []


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, checkpoint: Path, asked: list[str]) -> dict[str, Path]:
    """The checkpoint of each version by its address; the registry is another room's."""
    checkpoints = {"models:/diffusegae/7": checkpoint}

    def download(tracking_uri: str, model_uri: str, destination: Path) -> Path:
        asked.append(model_uri)
        return checkpoints[model_uri]

    monkeypatch.setattr(editors, "download_checkpoint", download)
    return checkpoints


def test_a_version_is_loaded_once_and_paints_as_the_editor_does(
    served: ServedModel, downloads: dict[str, Path], asked: list[str], editor: Editor
) -> None:
    async def use() -> tuple[GeneratedImages, list[float], str]:
        replica = EditorDeployment()
        for _ in range(2):
            await replica.reconfigure(source_of(served))
        await replica.check_health()
        encoded = await replica.encode(IMAGE, None, served.attributes.fingerprint())
        assert encoded.noise is None
        return (
            await replica.generate(TASK, served.attributes.fingerprint()),
            encoded.code.tolist(),
            await replica.check(),
        )

    generated, code, label = asyncio.run(use())
    assert asked == ["models:/diffusegae/7"]
    assert generated.model == label == "diffusegae/7"
    quick = editor.with_sampling(editor.sampling.model_copy(update={"steps": 2}))
    assert (generated.pictures == to_pixels(quick.reconstruct(IMAGE, seeds=[1]))).all()
    assert code == pytest.approx(editor.encode(IMAGE)[0].tolist())


def test_another_version_takes_over_while_the_one_before_finishes(
    served: ServedModel, downloads: dict[str, Path], checkpoint: Path, tmp_path: Path
) -> None:
    other = {name: value * 1.5 for name, value in read_tensors(checkpoint, "ema").items()}
    save_checkpoint(tmp_path, read_meta(checkpoint), {"ema": other})
    downloads["models:/diffusegae/8"] = tmp_path

    async def use() -> tuple[GeneratedImages, GeneratedImages]:
        replica = EditorDeployment()
        await replica.reconfigure(source_of(served))
        begun = asyncio.create_task(replica.generate(LONG, served.attributes.fingerprint()))
        await asyncio.sleep(0.05)
        await replica.reconfigure(source_of(served, version="8"))
        return await begun, await replica.generate(TASK, served.attributes.fingerprint())

    before, after = asyncio.run(use())
    assert (before.model, after.model) == ("diffusegae/7", "diffusegae/8")


def test_a_version_is_warm_before_it_is_checked_and_put_in(
    served: ServedModel, downloads: dict[str, Path], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads["models:/diffusegae/8"] = checkpoint
    replica, done = EditorDeployment(), []
    check = LoadedModel.check

    def label() -> str | None:
        return None if replica._model is None else replica._model.label

    async def checked(model: LoadedModel, seconds: float) -> None:
        done.append(("checked", label()))
        await check(model, seconds)

    monkeypatch.setattr(Editor, "warm_up", lambda _: done.append(("warm", label())))
    monkeypatch.setattr(LoadedModel, "check", checked)

    async def use() -> None:
        await replica.reconfigure(source_of(served))
        await replica.reconfigure(source_of(served, version="8"))

    asyncio.run(use())
    before = "diffusegae/7"
    assert done == [("warm", None), ("checked", None), ("warm", before), ("checked", before)]
    assert label() == "diffusegae/8"


def test_the_network_is_called_as_the_source_says(
    served: ServedModel, downloads: dict[str, Path], checkpoint: Path
) -> None:
    source = ModelSource.model_validate(source_of(served) | {"inference": {"precision": "bfloat16"}})
    loaded = load_model(source)
    loaded.close()
    assert loaded.editor.network.config == InferenceConfig(precision="bfloat16")
    with pytest.raises(ValueError, match="only GPUs have graphs"):
        load_model(source.model_copy(update={"inference": InferenceConfig(acceleration="captured")}))


def test_a_version_that_paints_nothing_is_not_put_in(
    served: ServedModel,
    downloads: dict[str, Path],
    checkpoint: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = {name: torch.full_like(value, float("nan")) for name, value in read_tensors(checkpoint, "ema").items()}
    save_checkpoint(tmp_path, read_meta(checkpoint), {"ema": broken})
    downloads["models:/diffusegae/8"] = tmp_path

    async def use() -> GeneratedImages:
        replica = EditorDeployment()
        await replica.reconfigure(source_of(served))
        await replica.reconfigure(source_of(served, version="8"))
        await replica.check_health()
        return await replica.generate(TASK, served.attributes.fingerprint())

    assert asyncio.run(use()).model == "diffusegae/7"
    assert "diffusegae/8 is not put in; diffusegae/7 stays" in caplog.text
    with pytest.raises(ModelCheckError, match="diffusegae/8 reconstructs a picture that is not finite"):
        asyncio.run(EditorDeployment().reconfigure(source_of(served, version="8")))


def test_a_request_for_another_schema_waits_for_it_and_is_refused_in_the_end(
    served: ServedModel, downloads: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editors, "SCHEMA_SECONDS", 0.3)

    async def use() -> GeneratedImages:
        replica = EditorDeployment()
        await replica.reconfigure(source_of(served))
        with pytest.raises(Problem, match="has other attributes") as caught:
            await replica.generate(TASK, "another")
        assert (caught.value.details.status, caught.value.headers) == (503, {"Retry-After": "1"})
        return await replica.generate(TASK, served.attributes.fingerprint())

    assert asyncio.run(use()).model == "diffusegae/7"
