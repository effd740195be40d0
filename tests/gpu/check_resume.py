"""Check that training goes on from a checkpoint as if nothing had happened, and that devices read each other's.

Bit for bit on the same kind of device: k steps straight are k/2 steps, a checkpoint, and k/2 more. On a GPU under
kernels whose sums have one order; without them two straight runs differ already, and how far is said.
"""

import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from diffusegae.checkpoint import CheckpointMeta, Position, read_meta, read_tensors, save_checkpoint
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.training.stages import StageName
from diffusegae.training.step import TrainingState
from tests.gpu.machine import deterministic
from tests.gpu.outcome import Check, require
from tests.gpu.samples import OURS, build_state, random_batch, schema_of, with_stage
from tests.gpu.sizes import check_config

STEPS, SAMPLES, DROPOUT, SPREAD = 6, 8, 0.1, 0.02

Tensors = dict[str, dict[str, Tensor]]


def checks(device: torch.device) -> dict[str, Check]:
    """Return a check of resuming for each stage, with and without dropout, and of moving between devices."""
    found: dict[str, Check] = {}
    for stage in OURS:
        for dropout in (0.0, DROPOUT):
            found[f"resume {stage}, dropout {dropout}, bit for bit"] = partial(check_resume, device, stage, dropout)
        found[f"checkpoint {stage}: {device.type} to CPU and back"] = partial(check_round_trip, device, stage)
    found["two straight runs with any kernels"] = partial(check_spread, device)
    return found


def check_resume(device: torch.device, stage: StageName, dropout: float) -> str:
    """Compare a straight run with one that was cut in the middle, in the preset's own precision, uncompiled."""
    config = _with_dropout(with_stage(check_config(device), stage, compile=False), dropout)
    with deterministic(device), tempfile.TemporaryDirectory() as folder:
        straight = _train(build_state(config, stage, device), config, STEPS)
        half = _train(build_state(config, stage, device), config, STEPS // 2)
        _save(half, config, Path(folder))
        resumed = build_state(config, stage, device, seed=1)  # other weights, which the checkpoint's replace
        resumed.seed = straight.seed
        meta = read_meta(Path(folder))
        resumed.restore(lambda name: read_tensors(Path(folder), name), meta.samples_seen)
        _train(resumed, config, STEPS)
    differing = _differing(straight.tensors(), resumed.tensors())
    return require(not differing, f"{len(differing)} tensors differ {differing[:3]}")


def check_round_trip(device: torch.device, stage: StageName) -> str:
    """Save on the device, restore and save on the CPU, restore on the device: nothing may change."""
    config = with_stage(check_config(device), stage, compile=False, precision="float32")
    cpu = torch.device("cpu")
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        state = _train(build_state(config, stage, device), config, 2)
        _save(state, config, Path(first))
        on_cpu = build_state(config, stage, cpu, seed=1)
        on_cpu.restore(lambda name: read_tensors(Path(first), name), state.samples_seen)
        _save(on_cpu, config, Path(second))
        back = build_state(config, stage, device, seed=2)
        back.restore(lambda name: read_tensors(Path(second), name), state.samples_seen)
        differing = _differing(state.tensors(), back.tensors())
        _train(on_cpu, config, 3)  # both go on from there
        _train(back, config, 3)
    return require(not differing, f"{len(differing)} tensors differ {differing[:3]}; both train on")


def check_spread(device: torch.device) -> str:
    """Say how far two equal runs are apart without deterministic kernels, over the way that the weights have gone.

    Adam's first steps have the same size whatever the gradient's, so where that is all rounding they go either way.
    """
    config = with_stage(check_config(device), "pretrain", compile=False, precision="float32")
    start = _weights(build_state(config, "pretrain", device))
    first, second = (_weights(_train(build_state(config, "pretrain", device), config, STEPS)) for _ in range(2))
    apart = float((second - first).norm() / (first - start).norm())
    return require(apart <= SPREAD, f"{apart:.1e} of the way apart after {STEPS} steps (≤ {SPREAD})")


def _weights(state: TrainingState) -> Tensor:
    return torch.cat([p.detach().double().flatten().cpu() for p in state.stage.model.parameters()])


def _train(state: TrainingState, config: PipelineConfig, until: int) -> TrainingState:
    while state.num_steps < until:
        state.step(random_batch(config, state.stage.name, SAMPLES, state.device, seed=state.num_steps))
    return state


def _save(state: TrainingState, config: PipelineConfig, folder: Path) -> None:
    meta = CheckpointMeta(
        stage=state.stage.name,
        samples_seen=state.samples_seen,
        positions=(Position(),),
        config=config,
        attributes=schema_of(config),
        versions={},
    )
    save_checkpoint(folder, meta, state.tensors())


def _with_dropout(config: PipelineConfig, dropout: float) -> PipelineConfig:
    unet = config.model.unet.model_copy(update={"dropout": dropout})
    gae = config.model.gae.model_copy(update={"dropout": dropout})
    return config.model_copy(update={"model": config.model.model_copy(update={"unet": unet, "gae": gae})})


def _differing(first: Tensors, second: Tensors) -> list[str]:
    return [
        f"{file}/{name}"
        for file, tensors in first.items()
        for name, value in tensors.items()
        if not torch.equal(value.cpu(), second[file][name].cpu())
    ]
