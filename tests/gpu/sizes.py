"""Which preset the kit runs at: what a GPU is measured by, and `smoke` where a CPU only shows that it runs."""

import torch

from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from tests.tiny import PRESETS

KIT_PRESET = "fast64"


def preset(name: str, *overrides: str) -> PipelineConfig:
    """Return a preset with overrides."""
    return load_config(name, overrides, PRESETS)


def check_config(device: torch.device) -> PipelineConfig:
    """Return the preset that is checked on a device."""
    return preset(KIT_PRESET if device.type == "cuda" else "smoke")
