"""Launching: what is done is not done again, and another config under the same name is refused, before any training."""

from pathlib import Path

import pytest

from diffusegae.config.load import ConfigError
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.training.job import TrainingJob
from diffusegae.training.launch import LaunchError, StageDone, launch_stage, read_done, stage_fingerprint
from diffusegae.training.stages import StageName
from tests.tiny import smoke_config, tiny_schema


def job_of(config: PipelineConfig) -> TrainingJob:
    return TrainingJob(stage="pretrain", config=config, attributes=tiny_schema(8, 8, 8), rows="nowhere")


def test_a_finished_stage_is_returned_without_training(tmp_path: Path) -> None:
    config = smoke_config()
    fingerprint = stage_fingerprint(config, "pretrain", "")
    done = StageDone(stage="pretrain", fingerprint=fingerprint, checkpoint="somewhere", seconds=1.0)
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "done.json").write_text(done.model_dump_json())
    assert launch_stage(job_of(config), str(tmp_path)) == done
    assert read_done(str(tmp_path), "refine") is None


def test_a_name_that_belongs_to_another_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "plan.json").write_text('{"fingerprint": "0123456789abcdef"}')
    with pytest.raises(
        LaunchError, match="holds a run of another config .*; choose another name, or delete the folder"
    ):
        launch_stage(job_of(smoke_config()), str(tmp_path))


def test_a_batch_smaller_than_the_workers_is_named() -> None:
    with pytest.raises(ConfigError, match=r"finetune.batch_size is 8, less than .* resources.num_workers 9"):
        smoke_config("resources.num_workers=[2, 9]")


def test_a_fingerprint_follows_what_decides_the_result_and_nothing_else() -> None:
    def fingerprint(*overrides: str, before: str = "") -> str:
        return stage_fingerprint(smoke_config(*overrides), "pretrain", before)

    base = fingerprint()
    assert fingerprint("storage=/elsewhere", "name=other", "resources.num_workers=2") == base
    assert fingerprint("pretrain.report_every_samples=16", "refine.learning_rate=1") == base
    changed = [
        fingerprint("seed=1"),
        fingerprint("pretrain.learning_rate=1"),
        fingerprint("model.unet.base_width=16"),
        fingerprint("data.holdout_percent=30"),
        fingerprint(before="another"),
    ]
    assert len({base, *changed}) == 6


def test_stage_1_does_not_depend_on_the_gae_or_the_partition_of_z_dis_but_stage_2_does() -> None:
    def fingerprint(stage: StageName, *overrides: str) -> str:
        return stage_fingerprint(smoke_config(*overrides), stage, "")

    other_gae = ("model.gae.widths=[64]", "model.gae.num_bottlenecks=1", "model.gae.norm=layer")
    narrower = ("model.z_dis_width=20", "data.attributes.pose.width=4")
    for overrides in (other_gae, narrower):
        assert fingerprint("pretrain", *overrides) == fingerprint("pretrain")
        assert fingerprint("refine", *overrides) != fingerprint("refine")
    assert fingerprint("pretrain", "data.attributes.pose.column=angle") != fingerprint("pretrain")
