"""How data-parallel workers exchange gradients: the options of DDP, and gradients sent as bfloat16."""

from typing import Any

from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from diffusegae.config.training import StageConfig


def ddp_options(config: StageConfig) -> dict[str, Any]:
    """Return DDP's options: gradients lie in the buckets that are sent, and no buffer ever changes.

    A step uses the same parameters every time, which DDP may rely on (`static_graph`) where each backward is
    synchronised; it cannot where a batch is cut into pieces (PyTorch fails in `no_sync` before the first exchange).
    """
    is_whole = config.accumulate == 1
    return {"static_graph": is_whole, "gradient_as_bucket_view": True, "broadcast_buffers": False}


def send_as_bfloat16(module: nn.Module) -> nn.Module:
    """Send a wrapped module's gradients as bfloat16, half the bytes, over NCCL; one that is not wrapped sends none."""
    if isinstance(module, DistributedDataParallel):
        module.register_comm_hook(None, bf16_compress_hook)
    return module
