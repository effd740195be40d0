"""The calls of an editor's UNet: eagerly in float32 on a CPU, in half precision and as CUDA graphs on a GPU."""

import logging
import time
from functools import partial

import torch
from jaxtyping import Float, Num
from torch import Tensor

from diffusegae.config.inference import InferenceConfig
from diffusegae.config.model import ModelConfig
from diffusegae.diffusion.process import Predict
from diffusegae.editing.buckets import Buckets, Call, Recorder
from diffusegae.editing.cudnn import NO_TF32
from diffusegae.editing.graphs import GraphRecorder
from diffusegae.editing.narrow import narrow, narrow_condition
from diffusegae.models.unet import Condition, UNet

logger = logging.getLogger(__name__)
MAX_COMPILED = 256  # batch sizes times models that a process has served; beyond, calls would be eager
HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def device_at_hand() -> torch.device:
    """Return the device for work that may run anywhere: the first GPU, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def suited_to(device: torch.device) -> InferenceConfig:
    """Return how networks are called on a device unless somebody says otherwise."""
    if device.type == "cuda":
        return InferenceConfig(precision="float16", acceleration="captured")
    return InferenceConfig()


class Network:
    """A UNet for inference: z_sem's condition in float32, x_t's predictions as the config says; results are float32.

    Pictures of one thread at a time, or of several: calls are put in order where they share memory.

    Raises:
        ValueError: the config wants graphs, which a device other than a GPU has not.
    """

    def __init__(
        self, unet: UNet, config: InferenceConfig, device: torch.device, recorder: Recorder | None = None
    ) -> None:
        if config.acceleration != "none" and recorder is None and device.type != "cuda":
            raise ValueError(f"acceleration={config.acceleration} on {device}; only GPUs have graphs, expected none")
        self.unet, self.config, self.device = unet, config, device
        whole = _in_precision(unet, config)
        self._call: Call = whole
        if config.acceleration != "none":
            call = _compiled(whole) if config.acceleration == "compiled" else whole
            self._call = Buckets(call, whole, config.sizes, recorder or GraphRecorder(device))

    def condition(self, z_sem: Float[Tensor, "batch z_sem"]) -> Condition:
        """Return what the network makes of z_sem before it has seen any x_t."""
        with NO_TF32.held():
            return self.unet.condition(z_sem)

    def denoise(
        self, x_t: Float[Tensor, "batch 3 height width"], t: Num[Tensor, " batch"], condition: Condition
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the network's prediction for x_t at time t under a condition."""
        return self._call(x_t, t, condition)

    def predictor(self, z_sem: Float[Tensor, "batch z_sem"]) -> Predict:
        """Return `denoise` at a fixed z_sem: what a sampler calls at every step."""
        return partial(self.denoise, condition=self.condition(z_sem))

    @torch.inference_mode()
    def warm_up(self, model: ModelConfig) -> None:
        """Record all sizes now, the largest first, so that the smaller ones find its memory; nothing on a CPU."""
        if not isinstance(self._call, Buckets):
            return
        began, side = time.monotonic(), model.image_size
        for size in reversed(self.config.sizes):
            condition = self.condition(torch.zeros(size, model.z_sem_width, device=self.device))
            x_t = torch.zeros(size, 3, side, side, device=self.device)
            self.denoise(x_t, torch.zeros(size, dtype=torch.int64, device=self.device), condition)
        logger.info(
            "network: %s, %s for batches of %s after %.1f s",
            self.config.precision, self.config.acceleration, self.config.sizes, time.monotonic() - began,
        )  # fmt: skip


def _compiled(call: Call) -> Call:
    """Return a call that is compiled once per batch size, however many models were compiled before it."""
    compiled = torch.compile(call, dynamic=False)

    def run(x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        with torch._dynamo.config.patch(recompile_limit=MAX_COMPILED):
            return compiled(x_t, t, condition)

    return run


def _in_precision(unet: UNet, config: InferenceConfig) -> Call:
    """Return a UNet's `denoise` in the config's precision."""
    dtype = HALF.get(config.precision)
    if dtype is None:
        return unet.denoise
    narrowed = narrow(unet, dtype)
    return lambda x_t, t, condition: narrowed.denoise(x_t, t, narrow_condition(condition, dtype))
