"""Where a pipeline keeps its things, and what one that is based on another shares with it."""

from pathlib import Path

import pytest
import torch

from diffusegae import pipeline
from diffusegae.pipeline import Layout, value_codes
from diffusegae.schema import AttributeSpec, build_schema
from tests.stored_images import write_images
from tests.tiny import save_tiny_checkpoint, smoke_config


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


def test_value_codes_are_measured_on_the_device_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write_images(str(tmp_path / "images"), {"a": 4, "b": 4})
    config = smoke_config(f"storage={tmp_path}")
    specs = {"a": AttributeSpec(width=12), "b": AttributeSpec(width=12)}
    config = config.model_copy(update={"data": config.data.model_copy(update={"attributes": specs})})
    save_tiny_checkpoint(tmp_path / "checkpoint", config, build_schema(specs, manifest.columns))
    devices: list[object] = []

    class LoadedError(Exception):
        """Enough is known."""

    def load(_: Path, device: object, __: object) -> None:
        devices.append(device)
        raise LoadedError

    monkeypatch.setattr(pipeline, "load_editor", load)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(LoadedError):
        value_codes(str(tmp_path / "checkpoint"), str(tmp_path / "images"), config)
    assert devices == [torch.device("cuda")]
