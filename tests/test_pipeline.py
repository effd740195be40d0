"""Where a pipeline keeps its things, and what one that is based on another shares with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusegae import pipeline
from diffusegae.pipeline import Layout, Pipeline
from diffusegae.training.launch import StageDone
from tests.tiny import save_tiny_checkpoint, smoke_config, tiny_schema


def test_a_pipeline_has_all_below_its_name(tmp_path: Path) -> None:
    layout = Layout.of(smoke_config(f"storage={tmp_path}", "name=mine"))
    for address in (layout.images, layout.latents, layout.tuning, layout.evaluation, layout.stages("pretrain")):
        assert address.startswith(f"{tmp_path}/mine/")
    assert layout.stages("refine") == layout.stages("pretrain") == f"{tmp_path}/mine/stages"


def test_one_based_on_another_shares_its_images_stage_1_and_latents(tmp_path: Path) -> None:
    own = Layout.of(smoke_config(f"storage={tmp_path}", "name=mine"))
    tuned = Layout.of(smoke_config(f"storage={tmp_path}", "name=mine-tuned", "base=mine"))
    assert (tuned.images, tuned.latents, tuned.stages("pretrain")) == (own.images, own.latents, own.stages("pretrain"))
    for address in (tuned.stages("refine"), tuned.stages("finetune"), tuned.evaluation, tuned.tuning):
        assert address.startswith(f"{tmp_path}/mine-tuned/")


@pytest.mark.parametrize("step", [Pipeline.evaluate, Pipeline.register])
def test_models_are_judged_and_measured_on_the_device_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Callable[[Pipeline], object]
) -> None:
    config, schema = smoke_config(f"storage={tmp_path}"), tiny_schema(8, 8, 8)
    save_tiny_checkpoint(tmp_path / "checkpoint", config, schema)
    devices: list[object] = []

    class LoadedError(Exception):
        """Enough is known."""

    def load(_: Path, device: object, __: object) -> None:
        devices.append(device)
        raise LoadedError

    def register(*arguments: Any) -> None:
        arguments[-1]()

    monkeypatch.setattr(pipeline, "load_editor", load)
    monkeypatch.setattr(pipeline, "register_model", register)
    monkeypatch.setattr(pipeline, "ImageLookup", lambda *_: None)
    monkeypatch.setattr(pipeline, "open_stage_run", lambda *_: "run")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    road = Pipeline(config)
    road.__dict__ |= {"schema": schema, "manifest": None, "tracking": "", "run_id": "run"}
    done = StageDone(stage="finetune", fingerprint="0", checkpoint=str(tmp_path / "checkpoint"), seconds=1.0)
    monkeypatch.setattr(road, "_require", lambda _: done)
    with pytest.raises(LoadedError):
        step(road)
    assert devices == [torch.device("cuda")]
