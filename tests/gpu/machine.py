"""Which machine, card and versions figures came from, and when."""

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import torch


def facts(device: torch.device) -> dict[str, str]:
    """Return what stands above every table of figures."""
    found = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "card": "none, CPU",
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["card"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())
        found["driver"] = _driver()
    return found


def describe(device: torch.device) -> str:
    """Return the facts as one line."""
    return " · ".join(f"{name} {value}" for name, value in facts(device).items())


def device_of(name: str) -> torch.device:
    """Return a device by its name, a GPU with its number, which some of torch's functions insist on."""
    device = torch.device(name)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was asked to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Use kernels whose sums have one order, so that two runs on a GPU can be compared bit for bit.

    An operator that has no such kernel raises RuntimeError: only warned, attention with a mask would take the other.
    """
    if device.type != "cuda":
        yield
        return
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=10).stdout.split()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "unknown"
