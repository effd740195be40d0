"""FLOPs: how many a step costs, and how many a second a device reaches in a plain matrix product."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop, sdpa_flop

from diffusegae.config.training import Precision
from diffusegae.training.precision import float32_products
from diffusegae.training.stages import Objective

COUNTED_IMAGES = 8  # enough for layers that take few pixels another way
PRODUCT_SECONDS, PRODUCT_SIDE = 0.2, {"cuda": 8192, "cpu": 1024}

# PyTorch's table lacks attention on CPUs
_FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: sdpa_backward_flop,
}


class FlopCounter(TorchDispatchMode):
    """Sums the FLOPs of matrix products, convolutions and attention while it is entered, backward included.

    PyTorch's own FlopCounterMode also files them by module, by hooks that a gradient penalty's nested gradient breaks.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and count it."""
        result = func(*args, **(kwargs or {}))
        formula = _FORMULAS.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        return result


def flops_of_step(objectives: Sequence[Objective], batch: Any, members: int, device: torch.device) -> float:
    """Return what a step on a batch costs: forward and backward of every objective, by how often it runs.

    Counted on its first few images and scaled; what doesn't grow with the batch adds less than one in a hundred. The
    modules are taken as they are written, neither compiled nor wrapped. Leaves weights, gradients, buffers and the
    global generators as they were, and runs no gradient hook, so DDP sees nothing of it.
    """
    samples = max(1, COUNTED_IMAGES // members)
    piece = batch.chunk(-(-len(batch) // samples))[0]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        flops = sum(_count(objective, piece, device) / objective.every for objective in objectives)
    return flops * len(batch) / len(piece)


def _count(objective: Objective, piece: Any, device: torch.device) -> int:
    module, generator = objective.module, torch.Generator(device).manual_seed(0)
    weights = [weight for _, weight in objective.named_parameters() if weight.requires_grad]
    with torch.enable_grad(), FlopCounter() as counter:
        loss, _ = module.forward(piece, module.draw(piece, generator))
        torch.autograd.grad(loss, weights, allow_unused=True)
    return int(counter.flops)


def matrix_product_rate(device: torch.device, precision: Precision) -> float:
    """Return the FLOP/s of the fastest of some square matrix products: what a device gives to who asks for no more."""
    side = PRODUCT_SIDE[device.type]
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    generator = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(side, side, device=device, dtype=dtype, generator=generator) for _ in range(2))
    begun, fastest = time.perf_counter(), float("inf")
    with float32_products(precision):
        while time.perf_counter() - begun < PRODUCT_SECONDS:
            fastest = min(fastest, _seconds_of(left, right))
    return 2 * side**3 / fastest


def _seconds_of(left: Tensor, right: Tensor) -> float:
    """Time one product to its end."""
    started = time.perf_counter()
    torch.mm(left, right)
    if left.is_cuda:
        torch.cuda.synchronize(left.device)
    return time.perf_counter() - started
