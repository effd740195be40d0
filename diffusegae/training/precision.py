"""The arithmetic of a training step: float32, TF32 or bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from diffusegae.config.training import Precision


def autocast(precision: Precision, device_type: str) -> torch.autocast:
    """Run a forward in bfloat16 where that was asked for."""
    return torch.autocast(device_type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def float32_products(precision: Precision) -> Iterator[None]:
    """Let float32 factors of GPUs' matrix products and convolutions be rounded to TF32, unless float32 was asked for.

    Of itself PyTorch rounds those of convolutions and not those of matrix products.
    """
    matmul, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    is_rounded = precision != "float32"
    torch.set_float32_matmul_precision("high" if is_rounded else "highest")
    torch.backends.cudnn.allow_tf32 = is_rounded
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = cudnn
