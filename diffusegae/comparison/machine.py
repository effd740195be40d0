"""The machine that a comparison ran on, and the versions of what it ran."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import Field

from diffusegae.config.base import Config

PACKAGES = ("diffusegae", "torch", "ray", "numpy")
_CPUINFO = Path("/proc/cpuinfo")


class Hardware(Config):
    """A machine."""

    cpu: str = Field(description="Model of its processor.")
    cores: int = Field(gt=0, description="Logical cores that this process may use.")
    gpus: tuple[str, ...] = Field(description="Models of its GPUs.")
    memory_gb: float = Field(gt=0, description="Memory in 10^9 bytes.")

    def describe(self) -> str:
        """Return it as a sentence's part."""
        gpus = ", ".join(self.gpus) or "no GPU"
        return f"{self.cpu}, {self.cores} cores, {self.memory_gb:.0f} GB of memory, {gpus}"


def find_hardware() -> Hardware:
    """Describe the machine that this runs on."""
    gpus = tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Hardware(cpu=_cpu_model(), cores=len(os.sched_getaffinity(0)), gpus=gpus, memory_gb=round(memory, 1))


def find_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that figures depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


def _cpu_model() -> str:
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
