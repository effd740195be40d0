"""Rows of real data: how long a step waits for JPEGs that a pool of threads decodes while it trains."""

import os
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.images import decode_batch, encode_image
from tests.gpu.bench_row import Row
from tests.gpu.bench_training import BEST, UNCOMPILED, WAYS, measure_stage, send_all
from tests.gpu.samples import random_pixels, with_stage
from tests.gpu.sizes import preset

ENCODED = 1024  # different pictures, of which batches are drawn
QUALITY = 92


def rows(device: torch.device, seconds: float) -> list[Row]:
    """Return a row of JPEG decoding at each size."""
    if device.type != "cuda":
        return [Row("smoke pretrain, JPEG", 8.0, partial(_run, "smoke", UNCOMPILED, device, seconds))]
    return [
        Row("vehicles64 pretrain, JPEG", 2.1, partial(_run, "vehicles64", BEST, device, seconds), 45.0),
        Row("paper pretrain, JPEG", 4.5, partial(_run, "paper", UNCOMPILED, device, seconds), 20.0),
    ]


def _run(name: str, way: str, device: torch.device, seconds: float) -> dict[str, float]:
    settings = {"compile": False, "channels_last": False, "num_samples": 10**9, **WAYS[way]}
    config = with_stage(preset(name), "pretrain", **settings)
    threads = len(os.sched_getaffinity(0))
    batches = send_all(_decoded(config, threads), config, "pretrain", device)
    return {**measure_stage(config, "pretrain", device, seconds, batches), "threads": float(threads)}


def _decoded(config: PipelineConfig, threads: int) -> Iterator[np.ndarray]:
    """Yield batches of pixels for ever, each decoded anew."""
    size, random = config.model.image_size, np.random.default_rng(0)
    pixels = random_pixels(ENCODED, size, torch.Generator().manual_seed(0)).movedim(1, -1).numpy()
    encoded = [encode_image(np.ascontiguousarray(picture), "jpeg", QUALITY) for picture in pixels]
    while True:
        drawn = random.integers(len(encoded), size=config.pretrain.batch_size)
        yield decode_batch([encoded[number] for number in drawn], size, threads)
