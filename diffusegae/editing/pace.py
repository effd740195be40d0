"""The pace of launches on a GPU: they run ahead of the kernels, and a late request would wait for all of them."""

from collections import deque

import torch

AHEAD = 2  # steps; one that runs and one that waits, so that the GPU never does


class Pace:
    """Holds the thread that launches steps back until all but the last few are done; nothing to hold on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._is_gpu = device, device.type == "cuda"
        self._running: deque[torch.cuda.Event] = deque()

    def step(self) -> None:
        """Count a step as launched, and wait for the one AHEAD before it."""
        if not self._is_gpu:
            return
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self._device))
        self._running.append(event)
        if len(self._running) > AHEAD:
            self._running.popleft().synchronize()
