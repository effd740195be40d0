"""Rows of a plain loop of diffusers' UNet2DModel, of the FLOPs that our stage 1 has, on the same device.

Its data lie on the device already, its optimizer is fused, its step is captured by the same compiler: what is compared
is a loop that somebody writes in an afternoon. Rates are set right by the ratio of FLOPs per image, which is near 1.
"""

import importlib
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.training.flops import FlopCounter, flops_of_step, matrix_product_rate
from diffusegae.training.precision import autocast
from tests.gpu.bench_row import Row
from tests.gpu.machine import synchronise
from tests.gpu.outcome import Skipped
from tests.gpu.samples import build_state, random_batch, with_stage
from tests.gpu.sizes import preset

WIDTH_STEP, MOST_WIDTH, WARM_STEPS, COUNTED = 32, 256, 3, 2


def rows(device: torch.device, seconds: float) -> list[Row]:
    """Return the loop at both sizes, compiled on GPUs and not."""
    if device.type != "cuda":
        return [Row("smoke diffusers loop", 6.0, partial(_run, "smoke", False, device, seconds))]
    return [
        Row("vehicles64 diffusers loop, bf16 channels_last", 1.4, partial(_run, "vehicles64", False, device, seconds)),
        Row("vehicles64 diffusers loop, compiled", 2.4, partial(_run, "vehicles64", True, device, seconds), 60.0),
        Row("paper diffusers loop, bf16 channels_last", 4.0, partial(_run, "paper", False, device, seconds), 20.0),
        Row("paper diffusers loop, compiled", 11.5, partial(_run, "paper", True, device, seconds), 120.0),
    ]


def _run(name: str, compiled: bool, device: torch.device, seconds: float) -> dict[str, float]:
    try:
        importlib.import_module("diffusers")
    except ImportError as error:
        raise Skipped(f"diffusers is absent ({error}); it and what it needs are small wheels to bring along") from None
    config = with_stage(preset(name), "pretrain", compile=False)
    wanted = _our_flops(config, device)
    model, flops = nearest_model(config, wanted, device)
    rate = _train(model.to(memory_format=torch.channels_last), config, compiled, device, seconds)
    return {
        "images/s": rate,
        "images/s at our FLOPs": rate * flops / wanted,
        "GFLOP an image": flops / 1e9,
        "MFU": rate * flops / matrix_product_rate(device, "bfloat16"),
    }


def _our_flops(config: PipelineConfig, device: torch.device) -> float:
    """Return the FLOPs per image of a step of stage 1, forward and backward."""
    state, samples = build_state(config, "pretrain", device), config.pretrain.batch_size
    return flops_of_step(state.stage.objectives, random_batch(config, "pretrain", samples, device), device) / samples


def nearest_model(config: PipelineConfig, wanted: float, device: torch.device) -> tuple[nn.Module, float]:
    """Return the UNet2DModel whose FLOPs per image are nearest, its widths those of our UNet times a factor."""
    found = []
    for base in range(WIDTH_STEP, MOST_WIDTH, WIDTH_STEP):
        model = _build(config, base).to(device)
        flops = _their_flops(model, config.model.image_size, device)
        found.append((abs(flops - wanted), flops, model))
        if flops > wanted:
            break
    _, flops, model = min(found, key=lambda each: each[0])
    return model, flops


def _build(config: PipelineConfig, base: int) -> nn.Module:
    from diffusers import UNet2DModel

    unet, side = config.model.unet, config.model.image_size
    attends = [side >> level in unet.attention_resolutions for level in range(len(unet.multipliers))]
    model: nn.Module = UNet2DModel(
        sample_size=side,
        block_out_channels=tuple(base * multiplier for multiplier in unet.multipliers),
        layers_per_block=unet.num_res_blocks,
        attention_head_dim=WIDTH_STEP,
        down_block_types=tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
        up_block_types=tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)),
    )
    return model


def _their_flops(model: nn.Module, side: int, device: torch.device) -> float:
    images, t = torch.randn(COUNTED, 3, side, side, device=device), torch.zeros(COUNTED, device=device)
    with FlopCounter() as counter:
        loss = _loss(model, images, t, images)
        torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return counter.flops / COUNTED


def _loss(model: nn.Module, x_t: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    predicted: Any = model(x_t, t, return_dict=False)
    return F.mse_loss(predicted[0].float(), eps)


def _train(model: nn.Module, config: PipelineConfig, compiled: bool, device: torch.device, seconds: float) -> float:
    """Return images/s of a loop in bfloat16 autocast."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    batch, side = config.pretrain.batch_size, config.model.image_size
    loss_of = torch.compile(_loss) if compiled else _loss
    images = torch.randn(batch, 3, side, side, device=device).to(memory_format=torch.channels_last)
    steps, started, stop = 0, 0.0, float("inf")
    while time.perf_counter() < stop:
        t = torch.randint(0, 1000, (batch,), device=device)
        eps = torch.randn_like(images)
        optimizer.zero_grad(set_to_none=True)
        with autocast("bfloat16", device.type):
            loss = loss_of(model, images + eps, t, eps)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if steps == WARM_STEPS:
            synchronise(device)
            started, steps = time.perf_counter(), 0
            stop = started + seconds if stop == float("inf") else stop
        if steps and stop < float("inf") and steps % 8 == 0:
            synchronise(device)  # else the loop hands out work for long after its time
    synchronise(device)
    return steps * batch / (time.perf_counter() - started)
