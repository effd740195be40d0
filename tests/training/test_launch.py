"""Launching: what is done is not done again, and another config under the same name is refused, before any training."""

import importlib
import json
import logging
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.air.result import Result
from ray.train import Checkpoint

from diffusegae.config.load import ConfigError
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.latents import LatentManifest, LatentShard, write_latent_manifest
from diffusegae.data.shards import ROW_GROUP_ROWS
from diffusegae.forecast import Workload
from diffusegae.training import launch
from diffusegae.training.job import TrainingJob
from diffusegae.training.launch import (
    HARMLESS,
    HARMLESS_LOGGERS,
    LaunchError,
    QuietRetries,
    StageDone,
    accepted_fingerprints,
    launch_stage,
    read_done,
    stage_fingerprint,
)
from diffusegae.training.stages import StageName
from tests.tiny import smoke_config, tiny_schema


def job_of(config: PipelineConfig) -> TrainingJob:
    return TrainingJob(stage="pretrain", config=config, attributes=tiny_schema(8, 8, 8), rows="nowhere")


def test_a_finished_stage_is_returned_without_training(tmp_path: Path) -> None:
    config = smoke_config()
    fingerprint = stage_fingerprint(config, "pretrain", "")
    done = StageDone(stage="pretrain", fingerprint=fingerprint, checkpoint="/somewhere", seconds=1.0)
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "done.json").write_text(done.model_dump_json())
    assert launch_stage(job_of(config), str(tmp_path)) == done
    assert read_done(str(tmp_path), "refine") is None


def test_only_what_ray_train_calls_safe_to_ignore_is_hidden(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pickle.loads(pickle.dumps(QuietRetries()))
    for name in HARMLESS_LOGGERS:
        source = importlib.import_module(name).__file__
        assert HARMLESS in Path(source or "").read_text()  # so Ray still says it, and there
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "propagate", False)  # a Ray that runs keeps what its loggers say from the root's
        monkeypatch.setattr(logger, "handlers", [caplog.handler])
        with caplog.at_level(logging.WARNING, logger=name):
            logger.warning(f"Failed to send a request. If transient, it's {HARMLESS} this error.")
            logger.warning("The request expired.")
    assert caplog.messages == ["The request expired."] * len(HARMLESS_LOGGERS)


@pytest.mark.parametrize("kind", ["now", "before"])
def test_a_finished_stage_is_found_where_its_storage_was_moved_to(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "run" / "stages", tmp_path / "elsewhere" / "stages"
    address = str(old / "pretrain" / "run" / "checkpoint_000000000320")
    result = Result(metrics={}, checkpoint=Checkpoint(address), error=None, path=str(old))
    monkeypatch.setattr(launch, "_fit", lambda job, folder: result)
    monkeypatch.setattr(launch, "stage_workload", lambda job: Workload("pretrain", 1, "samples"))
    job = job_of(smoke_config("data.lanes=1"))
    done = launch_stage(job, str(old))
    assert (done.checkpoint, done.best) == (address, address)
    assert "/" not in (old / "pretrain" / "done.json").read_text().replace("run/checkpoint_", "")
    if kind == "before":  # addresses were noted whole
        (old / "pretrain" / "done.json").write_text(done.model_dump_json())
    assert read_done(str(old), "pretrain") == done
    new.parent.mkdir()
    old.rename(new)
    assert launch_stage(job, str(new)).checkpoint == str(new / "pretrain" / "run" / "checkpoint_000000000320")


def test_a_name_that_belongs_to_another_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "plan.json").write_text('{"fingerprint": "0123456789abcdef"}')
    with pytest.raises(
        LaunchError, match="holds a run of another config .*; choose another name, or delete the folder"
    ):
        launch_stage(job_of(smoke_config()), str(tmp_path))


class BegunError(Exception):
    """Raised in place of training."""


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that launches stage 2 on latents of so many row groups and returns the workers' lanes."""
    seen: list[TrainingJob] = []

    def fit(job: TrainingJob, folder: str) -> None:
        seen.append(job)
        raise BegunError

    monkeypatch.setattr(launch, "_fit", fit)

    def launch_it(*overrides: str, row_groups: int = 8) -> int:
        shards = (LatentShard(path="a", num_rows=row_groups * ROW_GROUP_ROWS),)
        write_latent_manifest(str(tmp_path), LatentManifest(width=32, encoder="e", shards=shards))
        job = TrainingJob(
            stage="refine", config=smoke_config(*overrides), attributes=tiny_schema(8, 8, 8), rows=str(tmp_path)
        )
        with pytest.raises(BegunError):
            launch_stage(job, str(tmp_path))
        plan = json.loads((tmp_path / "refine" / "plan.json").read_text())
        assert plan.get("lanes", 1) == seen[-1].config.lanes
        return seen[-1].config.lanes

    return launch_it


def test_a_run_reads_one_lane_per_worker_and_keeps_them_with_other_workers(begin: Callable[..., int]) -> None:
    assert begin("resources.num_workers=[1,4]") == 4
    assert begin("resources.num_workers=2") == 4
    assert begin("resources.num_workers=6", "resources.cpus_per_worker=3") == 4
    with pytest.raises(LaunchError, match=r"holds a run .*data.lanes 4; this one's are .*, 1\)"):
        begin("data.lanes=1")


def test_a_small_set_has_no_more_lanes_than_row_groups(begin: Callable[..., int]) -> None:
    assert begin("resources.num_workers=4", row_groups=3) == 3


def test_a_run_that_was_begun_before_lanes_were_noted_has_one(tmp_path: Path, begin: Callable[..., int]) -> None:
    fingerprint = stage_fingerprint(smoke_config(), "refine", "")
    (tmp_path / "refine").mkdir()
    (tmp_path / "refine" / "plan.json").write_text(json.dumps({"fingerprint": fingerprint}))
    assert begin("resources.num_workers=4") == 1


def test_a_batch_smaller_than_the_workers_is_named() -> None:
    with pytest.raises(ConfigError, match=r"finetune.batch_size is 8, less than .* resources.num_workers 9"):
        smoke_config("resources.num_workers=[2, 9]")


def test_a_fingerprint_follows_what_decides_the_result_and_nothing_else() -> None:
    def fingerprint(*overrides: str, before: str = "") -> str:
        return stage_fingerprint(smoke_config(*overrides), "pretrain", before)

    base = fingerprint()
    assert fingerprint("storage=/elsewhere", "name=other", "resources.num_workers=2") == base
    assert fingerprint("pretrain.report_every_samples=16", "refine.learning_rate=1") == base
    assert fingerprint("pretrain.checkpoint_every_samples=16", "pretrain.checkpoint_every_minutes=1") == base
    changed = [
        fingerprint("seed=1"),
        fingerprint("pretrain.learning_rate=1"),
        fingerprint("model.unet.base_width=16"),
        fingerprint("data.holdout.images=30"),
        fingerprint("data.lanes=2"),
        fingerprint(before="another"),
    ]
    assert len({base, *changed}) == 7


def test_stage_1_does_not_depend_on_the_gae_or_the_partition_of_z_dis_but_stage_2_does() -> None:
    def fingerprint(stage: StageName, *overrides: str) -> str:
        return stage_fingerprint(smoke_config(*overrides), stage, "")

    other_gae = ("model.gae.widths=[64]", "model.gae.num_bottlenecks=1", "model.gae.norm=layer")
    narrower = ("model.z_dis_width=20", "data.attributes.pose.width=4")
    for overrides in (other_gae, narrower):
        assert fingerprint("pretrain", *overrides) == fingerprint("pretrain")
        assert fingerprint("refine", *overrides) != fingerprint("refine")
    assert fingerprint("pretrain", "data.attributes.pose.column=angle") != fingerprint("pretrain")


def _write(folder: Path, images: str, done: bool) -> str:
    """Write what a first stage that was trained on images leaves behind; return its fingerprint."""
    fingerprint = stage_fingerprint(smoke_config(), "pretrain", images)
    (folder / "pretrain").mkdir()
    if done:
        finished = StageDone(
            stage="pretrain", fingerprint=fingerprint, images=images, checkpoint="somewhere", seconds=1.0
        )
        (folder / "pretrain" / "done.json").write_text(finished.model_dump_json())
    (folder / "pretrain" / "plan.json").write_text(json.dumps({"fingerprint": fingerprint}))
    return fingerprint


@pytest.mark.parametrize("done", [True, False])
def test_a_run_on_images_that_were_made_anew_is_refused(done: bool, tmp_path: Path) -> None:
    _write(tmp_path, "these", done)
    with pytest.raises(LaunchError, match="another config or other images .*, or delete the folder"):
        launch_stage(job_of(smoke_config()), str(tmp_path), images="others")


def test_a_run_on_the_same_images_is_done_and_so_is_one_of_before_images_had_a_hash(tmp_path: Path) -> None:
    for name, images in (("new", "these"), ("old", "")):
        (tmp_path / name).mkdir()
        fingerprint = _write(tmp_path / name, images, done=True)
        done = launch_stage(job_of(smoke_config()), str(tmp_path / name), images="these")
        assert (done.fingerprint, done.images) == (fingerprint, images)


def test_a_run_that_was_begun_before_images_had_a_hash_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(job: TrainingJob, folder: str) -> None:
        raise BegunError

    monkeypatch.setattr(launch, "_fit", fit)
    monkeypatch.setattr(launch, "stage_workload", lambda job: Workload("pretrain", 1, "samples"))
    _write(tmp_path, "", done=False)
    with pytest.raises(BegunError):
        launch_stage(job_of(smoke_config()), str(tmp_path), images="these")


def test_stages_after_the_first_depend_on_the_one_before_alone() -> None:
    config = smoke_config()
    assert accepted_fingerprints(config, "refine", "x", "these") == [stage_fingerprint(config, "refine", "x")]
    first = accepted_fingerprints(config, "pretrain", "", "these")
    assert first == [stage_fingerprint(config, "pretrain", "these"), stage_fingerprint(config, "pretrain", "")]


@pytest.mark.parametrize("scores", [[3.0, 1.0, math.nan], [math.nan, 1.0, 3.0]], ids=str)
def test_the_best_checkpoint_is_one_that_was_measured(scores: list[float]) -> None:
    kept = [
        (Checkpoint(f"/run/{number}"), {"pretrain/simple": score, "samples_seen": number})
        for number, score in enumerate(scores)
    ]
    result = Result(metrics=kept[-1][1], checkpoint=kept[-1][0], error=None, path="/run", best_checkpoints=kept)
    assert launch._addresses(job_of(smoke_config("pretrain.best_by=simple")), result) == ("/run/2", "/run/1")


def test_how_many_values_go_by_name_matters_to_baselines_alone() -> None:
    few, usual = smoke_config("data.named_values=3"), smoke_config()
    assert stage_fingerprint(few, "finetune", "x") == stage_fingerprint(usual, "finetune", "x")
    assert stage_fingerprint(few, "stargan", "x") != stage_fingerprint(usual, "stargan", "x")
