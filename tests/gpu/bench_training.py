"""Rows of training: images/s, MFU, memory and waits of each stage at a preset's size, in each way to compute it."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import torch

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.feed import FeedBatch, prefetch
from diffusegae.training.meter import Meter
from diffusegae.training.stages import StageName, column_of
from diffusegae.training.transfer import Transfer
from tests.gpu.bench_row import Row
from tests.gpu.machine import synchronise
from tests.gpu.samples import OURS, build_state, num_members, random_pixels, with_stage
from tests.gpu.sizes import preset

WARM_STEPS, HELD_BATCHES, PREFETCHED = 3, 4, 2
HALF = {"precision": "bfloat16"}
WAYS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "tf32": {"precision": "tf32"},
    "bf16": HALF,
    "bf16 channels_last": {**HALF, "channels_last": True},
    "bf16 channels_last compiled": {**HALF, "channels_last": True, "compile": True},
}
REFINE_WAYS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "tf32": {"precision": "tf32"},
    "float32 compiled": {"precision": "float32", "compile": True},
}
BEST, UNCOMPILED = "bf16 channels_last compiled", "bf16 channels_last"


def rows(device: torch.device, seconds: float) -> list[Row]:
    """Return the rows of all sizes and stages; compiled ones on GPUs only."""
    names = ("vehicles64", "paper", "fast64") if device.type == "cuda" else ("smoke",)
    found = []
    for name in names:
        for stage in OURS:
            for way, settings in (REFINE_WAYS if stage == "refine" else WAYS).items():
                is_compiled = bool(settings.get("compile"))
                if is_compiled and device.type != "cuda":
                    continue
                run = partial(_run, name, stage, settings, device, seconds)
                least = (120.0 if name == "paper" else 45.0) if is_compiled else 8.0
                found.append(Row(f"{name} {stage}, {way}", _rank(name, stage, way), run, least))
    return found


def _rank(name: str, stage: StageName, way: str) -> float:
    """Return a row's place: stage 1 first, uncompiled ways before compiled ones of larger sizes, the slowest last."""
    size = {"vehicles64": 0.0, "fast64": 1.0, "paper": 2.0}.get(name, 0.0)
    if way in (BEST, "float32 compiled"):
        return 2.0 + 4 * size + OURS.index(stage)
    if way == UNCOMPILED:
        return 1.0 + size + OURS.index(stage) / 4
    return (1.5 if name == "vehicles64" and stage == "pretrain" else 12.0) + size + OURS.index(stage) / 4


def _run(
    name: str, stage: StageName, settings: dict[str, Any], device: torch.device, seconds: float
) -> dict[str, float]:
    endless = {"compile": False, "channels_last": False, "num_samples": 10**9, **settings}
    return measure_stage(with_stage(preset(name), stage, **endless), stage, device, seconds)


def measure_stage(
    config: PipelineConfig,
    stage: StageName,
    device: torch.device,
    seconds: float,
    batches: Iterator[tuple[Any, FeedBatch]] | None = None,
) -> dict[str, float]:
    """Return a stage's rates at its preset's batch, from made-up data through the path that real data take."""
    state = build_state(config, stage, device)
    meter, began = Meter(state), time.monotonic()
    stop, warm_seconds = float("inf"), 0.0
    for batch, _ in meter.waiting(batches or synthetic_batches(config, stage, device)):
        state.step(batch)
        if state.num_steps == WARM_STEPS:
            synchronise(device)
            warm_seconds = time.monotonic() - began
            meter.restart()
            stop = time.monotonic() + seconds
        if time.monotonic() >= stop:
            break
    synchronise(device)
    figures = meter.figures()
    return {
        "images/s": figures["images_per_second"],
        "step ms": 1000 * figures["step_seconds"],
        "MFU": figures.get("mfu", float("nan")),
        "data wait": figures["data_wait"],
        "GPU GiB": figures.get("gpu_memory_gib", 0.0),
        "pieces": float(state.pieces),
        "warm-up s": warm_seconds,
    }


def synthetic_batches(
    config: PipelineConfig, stage: StageName, device: torch.device
) -> Iterator[tuple[Any, FeedBatch]]:
    """Return made-up batches that lie decoded in the host's memory and are sent like real ones, by a thread."""
    samples, members = config.settings_of(stage).batch_size, num_members(config, stage)
    generator = torch.Generator().manual_seed(0)
    if column_of(stage) == "z":
        shape = (HELD_BATCHES, samples * members, config.model.z_sem_width)
        held = list(torch.randn(shape, generator=generator).numpy())
    else:
        images = random_pixels(samples * members, config.model.image_size, generator)
        pixels = images.movedim(1, -1).contiguous().numpy()
        held = [np.roll(pixels, number, axis=0) for number in range(HELD_BATCHES)]
    return send_all(cycle(held), config, stage, device)


def send_all(
    arrays: Iterator[np.ndarray], config: PipelineConfig, stage: StageName, device: torch.device
) -> Iterator[tuple[Any, FeedBatch]]:
    """Send arrays [samples * members, ...] to the device as a worker does: ahead of their use, by a thread."""
    settings = config.settings_of(stage)
    samples, members = settings.batch_size, num_members(config, stage)
    plan = FeedBatch(columns={}, num_samples=samples, num_members=members, positions={})
    transfer = Transfer(device, settings.channels_last)
    for sent in prefetch((transfer.send([array]) for array in arrays), PREFETCHED):
        yield sent.receive()[0].unflatten(0, (samples, members)), plan
