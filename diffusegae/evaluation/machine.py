"""The machine that figures were measured on, and the versions of what measured them."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("diffusegae", "torch", "ray", "numpy")
_CPUINFO = Path("/proc/cpuinfo")


def describe_hardware() -> str:
    """Describe the machine that this runs on, as a sentence's part."""
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu, cores = models[0] if models else platform.processor() or platform.machine(), len(os.sched_getaffinity(0))
    return f"{cpu}, {cores} cores, {memory:.0f} GB of memory, {', '.join(gpus) or 'no GPU'}"


def find_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that figures depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
