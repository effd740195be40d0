"""The workload of a stage: steps, and the bytes of what is really written."""

from pathlib import Path

import torch

from diffusegae.checkpoint import CheckpointMeta, Position, save_checkpoint
from diffusegae.data.latents import LatentManifest, LatentShard, write_latent_manifest
from diffusegae.training.job import TrainingJob
from diffusegae.training.stages import StageInputs
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from diffusegae.training.workload import checkpoint_bytes, stage_workload
from tests.tiny import smoke_config, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)


def test_the_forecast_size_of_a_checkpoint_is_the_size_of_one(tmp_path: Path) -> None:
    config = smoke_config()
    inputs = StageInputs(config, SCHEMA, latent_mean=torch.zeros(32), latent_covariance=torch.eye(32))
    for number, name in enumerate(("pretrain", "refine", "finetune")):
        state = TrainingState(STAGES[name](inputs), torch.device("cpu"), lambda module: module, seed=0)  # type: ignore[index]
        members = 1 if name == "pretrain" else 4
        shape = (4, members, 32) if name == "refine" else (4, members, 3, 32, 32)
        state.step(torch.rand(shape))
        meta = CheckpointMeta(
            stage=name, samples_seen=4, positions=(Position(),), config=config, attributes=SCHEMA, versions={}
        )
        save_checkpoint(tmp_path / str(number), meta, state.tensors())
        written = sum(path.stat().st_size for path in (tmp_path / str(number)).glob("*.safetensors"))
        job = TrainingJob(stage=name, config=config, attributes=SCHEMA, rows="nowhere")  # type: ignore[arg-type]
        assert abs(checkpoint_bytes(job) / written - 1) < 0.35  # headers of tiny tensors and step counters weigh here


def test_a_set_that_fits_is_read_once_and_a_larger_one_every_epoch(tmp_path: Path) -> None:
    shards = (LatentShard(path="a", num_rows=60), LatentShard(path="b", num_rows=40))
    write_latent_manifest(str(tmp_path), LatentManifest(width=32, encoder="e", shards=shards))

    def read(*settings: str) -> int:
        config = smoke_config("data.holdout.images=20", *settings)
        job = TrainingJob(stage="refine", config=config, attributes=SCHEMA, rows=str(tmp_path))
        work = stage_workload(job)
        assert (work.amount, work.steps, work.unit) == (320, 20, "GROUPs")
        return work.bytes_read

    assert read() == 100 * 32 * 4
    assert read("data.lanes=1", "resources.num_workers=4") == 4 * 100 * 32 * 4
    assert read("resources.num_workers=4") == 100 * 32 * 4
    assert read("data.window_rows=50") == 4 * 100 * 32 * 4  # 320 samples are four epochs of 80 training rows
    assert read("data.window_rows=50", "data.lanes=4", "resources.num_workers=4") == 4 * 100 * 32 * 4
