"""cuDNN's switches, which are the process's: held by any number of threads, set back by the last one to end.

TF32 rounds the inputs of float32 convolutions to 10 bits, by default. A z_dis is rounded to a lattice after that, and
what stood near the middle between two points of it would end on another one than on a CPU.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch


class Switch:
    """One of cuDNN's settings and the value at which `held` holds it."""

    def __init__(self, name: Literal["allow_tf32", "benchmark"], value: bool) -> None:
        self.name, self.value = name, value
        self._lock, self._depth, self._before = threading.Lock(), 0, value

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the setting while a block runs."""
        with self._lock:
            if self._depth == 0:
                self._before = getattr(torch.backends.cudnn, self.name)
                setattr(torch.backends.cudnn, self.name, self.value)
            self._depth += 1
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    setattr(torch.backends.cudnn, self.name, self._before)


NO_TF32 = Switch("allow_tf32", False)
MEASURED_KERNELS = Switch("benchmark", True)
