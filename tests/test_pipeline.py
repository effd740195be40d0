"""Where a pipeline keeps its things, and what one that is based on another shares with it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from diffusegae import pipeline, storage
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.findings import find, write_findings
from diffusegae.data.shards import load_labels, write_manifest
from diffusegae.data.thumbnails import write_contact_sheet
from diffusegae.layout import Layout
from diffusegae.pipeline import STAGES, Pipeline, value_codes
from diffusegae.schema import AttributeSpec, build_schema
from diffusegae.training.launch import LaunchError, StageDone
from diffusegae.training.stages import StageName
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


def finish_stage(config: PipelineConfig, stage: StageName, images: str) -> None:
    """Note that a stage was trained on images of that content."""
    done = StageDone(stage=stage, fingerprint="f", images=images, checkpoint="/somewhere", seconds=1.0)
    path = storage.join(Layout.of(config).stages(stage), stage, "done.json")
    storage.write_bytes(path, done.model_dump_json().encode())


def pipeline_on(tmp_path: Path, content: str) -> Pipeline:
    config = smoke_config(f"storage={tmp_path}")
    images = Layout.of(config).images
    manifest = write_images(images, {"category": 4, "instance": 4, "background": 4, "pose": 4})
    write_manifest(images, manifest.model_copy(update={"content": content}))
    return Pipeline(config)


@pytest.mark.parametrize("step", [Pipeline.encode, Pipeline.evaluate, Pipeline.register, lambda p: p.train("refine")])
def test_no_step_takes_a_stage_that_was_trained_on_images_made_anew_since(
    step: Callable[[Pipeline], object], tmp_path: Path
) -> None:
    pipeline = pipeline_on(tmp_path, "others")
    for stage in STAGES:
        finish_stage(pipeline.config, stage, "these")
    with pytest.raises(LaunchError, match="trained on images that have been made anew since; delete it"):
        step(pipeline)


def test_stages_of_before_images_had_a_hash_are_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = pipeline_on(tmp_path, "others")
    finish_stage(pipeline.config, "pretrain", "")
    assert pipeline.job("refine").weights == "/somewhere"
    assert "whether it was trained on these images isn't known" in caplog.text


def test_old_runs_on_old_images_are_taken_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipeline = pipeline_on(tmp_path, "")
    finish_stage(pipeline.config, "pretrain", "")
    assert pipeline.job("refine").weights == "/somewhere"
    assert not caplog.text


def test_the_page_of_the_data_is_logged_beside_the_thumbnails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    road = pipeline_on(tmp_path, "these")
    images, manifest = road.layout.images, road.manifest
    write_contact_sheet(images, manifest, "pose")
    write_findings(images, find(manifest, road.schema, load_labels(images, manifest), None))
    logged: dict[str, bytes] = {}

    class Log:
        """Notes the files that a run gets."""

        def __init__(self, uri: str, run_id: str) -> None:
            pass

        def log_file(self, local: Path, folder: str) -> None:
            logged[f"{folder}/{local.name}"] = local.read_bytes()

    monkeypatch.setattr(pipeline, "ingest", lambda *_, **__: manifest)
    monkeypatch.setattr(pipeline, "open_pipeline_run", lambda *_: "run")
    monkeypatch.setattr(pipeline, "RunLogger", Log)
    road.ingest()
    assert set(logged) == {"data/thumbnails.png", "data/data.html"}
    assert b"What stands out" in logged["data/data.html"]
