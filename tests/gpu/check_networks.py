"""Check every network's and objective's values and gradients on the device against the CPU's float64.

The measure is the relative distance in L2, |device - reference| / |reference|, of the output and of the gradient of
a random projection of it. What may be expected: an element of float32 is right to 2^-24, of TF32's factors to 2^-11,
of bfloat16 to 2^-9; sums over tens of layers add such errors up at random, gradients pass twice as many.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.config.training import Precision
from diffusegae.models.autoencoder import build_encoder
from diffusegae.models.gae import GroupAutoEncoder
from diffusegae.models.unet import UNet
from diffusegae.training.precision import autocast, float32_products
from tests.gpu.outcome import Check, Skipped, require
from tests.gpu.samples import OURS, build_state, random_batch, schema_of, shake
from tests.gpu.sizes import check_config

# Largest relative distance of (output, gradient). float32: cuDNN may choose Winograd, whose error is some tens of
# roundings; tf32 and bfloat16: forty roundings of 2^-11 and 2^-9 add up at random to sqrt(40) of them.
TOLERANCES: dict[Precision, tuple[float, float]] = {
    "float32": (1e-4, 1e-3),
    "tf32": (1e-2, 5e-2),
    "bfloat16": (5e-2, 1.5e-1),
}
# L_dis takes differences of codes that are close, so it is trained in float32 by itself. In stage 3 it stands beside
# L_simple, and its share of the gradient is as noisy.
FLOAT32_ONLY = ("GAE", "objective refine")
NOISY = {"objective finetune": 4.0}  # times the tolerance of the gradient
BATCH = 4

Network = tuple[nn.Module, tuple[Any, ...]]  # and its arguments, on the CPU


def checks(device: torch.device) -> dict[str, Check]:
    """Return a check for each network and stage in each precision."""
    config = check_config(device)
    builders: dict[str, Callable[[], Network]] = {
        **{name: partial(build, config) for name, build in NETWORKS.items()},
        **{f"objective {stage}": partial(_objective, config, stage) for stage in OURS},
    }
    return {
        f"{name}, {precision}": partial(compare, build, device, precision, NOISY.get(name, 1.0))
        for name, build in builders.items()
        for precision in TOLERANCES
        if precision == "float32" or name not in FLOAT32_ONLY
    }


def compare(build: Callable[[], Network], device: torch.device, precision: Precision, noise: float) -> str:
    """Return the distances of output and gradient from the CPU's float64; Failed if one is too large."""
    if precision == "tf32" and device.type != "cuda":
        raise Skipped("a CPU has no TF32")
    network, arguments = build()
    reference = differentiate(in_float64(copy.deepcopy(network)), arguments)
    on_device = tree_map(lambda value: value.to(device) if isinstance(value, Tensor) else value, arguments)
    with float32_products(precision), autocast(precision, device.type):
        found = differentiate(network.to(device), on_device)
    of_output, of_gradient = (distance(a, b) for a, b in zip(found, reference, strict=True))
    limits = TOLERANCES[precision][0], noise * TOLERANCES[precision][1]
    detail = f"output {of_output:.1e} (≤ {limits[0]:.0e}), gradient {of_gradient:.1e} (≤ {limits[1]:.0e})"
    return require(of_output <= limits[0] and of_gradient <= limits[1], detail)


def differentiate(network: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Return the output and the gradient of its random projection by all weights, both flat and on the CPU."""
    result = network(*arguments)
    output = (result[0] if isinstance(result, tuple) else result).reshape(-1)
    weights = torch.randn(len(output), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (output.double() * weights.to(output.device)).sum().backward()
    gradients = [parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None]
    return output.detach().double().cpu(), torch.cat(gradients).double().cpu()


def distance(found: Tensor, reference: Tensor) -> float:
    """Return |found - reference| / |reference|; infinite if something is not a number."""
    ratio = float((found - reference).norm() / reference.norm())
    return ratio if ratio == ratio else float("inf")


def in_float64(network: nn.Module) -> nn.Module:
    """Return a network in float64 whose layers widen what they are given: inputs and t's sinusoids are float32."""
    network.double()
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.GroupNorm):
            layer.register_forward_pre_hook(lambda _, given: tree_map(_widen, given))
    return network


def _widen(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def _encoder(config: PipelineConfig, architecture: str = "alter_resnet") -> Network:
    torch.manual_seed(0)
    encoder = config.model.encoder.model_copy(update={"architecture": architecture})
    model = config.model.model_copy(update={"encoder": encoder})
    return shake(build_encoder(model)), (_images(config),)


def _unet(config: PipelineConfig, canvas: bool, positions: bool) -> Network:
    torch.manual_seed(0)
    unet = config.model.unet.model_copy(update={"canvas": canvas, "positions": positions})
    times = torch.tensor([0, 250, 500, 999])
    z_sem = torch.randn(BATCH, config.model.z_sem_width, generator=torch.Generator().manual_seed(2))
    network = UNet(config.model.model_copy(update={"unet": unet}))
    return shake(network), (_images(config), times, z_sem)


def _gae(config: PipelineConfig) -> Network:
    """Return the GAE without rounding, which turns an error of the last bit into one of a whole step."""
    torch.manual_seed(0)
    gae = config.model.gae.model_copy(update={"quantise_step": 0.0})
    network = GroupAutoEncoder(config.model.model_copy(update={"gae": gae}), schema_of(config).widths)
    return shake(network).eval(), (torch.randn(64, config.model.z_sem_width),)


def _objective(config: PipelineConfig, stage: str) -> Network:
    gae = config.model.gae.model_copy(update={"quantise_step": 0.0})
    config = config.model_copy(update={"model": config.model.model_copy(update={"gae": gae})})
    cpu = torch.device("cpu")
    state = build_state(config, stage, cpu)  # type: ignore[arg-type]
    objective = state.stage.objectives[0].module
    objective.progress.fill_(0.5)
    batch = random_batch(config, stage, BATCH, cpu)  # type: ignore[arg-type]
    draws = objective.draw(batch, torch.Generator().manual_seed(3))
    return objective, (batch, draws)


def _images(config: PipelineConfig) -> Tensor:
    return random_batch(config, "pretrain", BATCH, torch.device("cpu")).flatten(0, 1)


NETWORKS: dict[str, Callable[[PipelineConfig], Network]] = {
    "encoder Alter-ResNet": _encoder,
    "encoder half UNet": partial(_encoder, architecture="half_unet"),
    "UNet": partial(_unet, canvas=False, positions=False),
    "UNet with canvas": partial(_unet, canvas=True, positions=False),
    "UNet with positions": partial(_unet, canvas=False, positions=True),
    "UNet with canvas and positions": partial(_unet, canvas=True, positions=True),
    "GAE": _gae,
}
