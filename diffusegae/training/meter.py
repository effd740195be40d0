"""What a training loop's time goes into: rates, waits for data, memory and FLOP/s between two reports."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from diffusegae.data.feed import FeedBatch
from diffusegae.training.flops import flops_of_step, matrix_product_rate
from diffusegae.training.step import TrainingState


@runtime_checkable
class Mark(Protocol):
    """A place in a GPU's queue; CUDA's events are some."""

    def synchronize(self) -> None:
        """Wait until the device has come there."""

    def elapsed_time(self, later: Any) -> float:
        """Return the ms of the device from here to a later place."""


@dataclass(frozen=True)
class Pause:
    """The time between two steps: seconds of the loop, and on a GPU where its queue stood before and after."""

    host: float
    before: Mark | None
    after: Mark | None

    def seconds(self) -> float:
        """Return how long loop and device both waited: a loop may wait while its GPU still has work."""
        if self.before is None or self.after is None:
            return self.host
        self.after.synchronize()
        return min(self.host, self.before.elapsed_time(self.after) / 1000)


class Meter:
    """Measures the steps that a loop takes on the batches it hands out; `figures` and `restart` frame a report.

    On GPUs, whose work runs behind the loop's, read the figures after something that waits for the device.
    """

    def __init__(self, state: TrainingState, clock: Callable[[], float] = time.perf_counter) -> None:
        self.state, self._clock = state, clock
        self._is_cuda = state.device.type == "cuda"
        self._flops_of_step = self._product_rate = 0.0
        self._members = 1
        self.restart()

    def restart(self) -> None:
        """Begin anew, as after a report, whose own time is no part of training."""
        self._started, self._steps = self._clock(), 0
        self._pauses: list[Pause] = []
        if self._is_cuda:
            torch.cuda.reset_peak_memory_stats(self.state.device)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is done inside, as a checkpoint between two reports."""
        begun = self._clock()
        yield
        self._started += self._clock() - begun

    def waiting(self, batches: Iterator[tuple[Any, FeedBatch]]) -> Iterator[tuple[Any, FeedBatch]]:
        """Hand on batches and measure the waits for them; the time begins when the first of them is there."""
        first = next(batches, None)
        if first is None:
            return
        self._members = first[1].num_members
        if self.state.rank == 0:
            self._measure(first[0])
        self.restart()
        self._steps = 1
        yield first
        while True:
            begun, drained = self._clock(), self._mark()
            item = next(batches, None)
            if item is None:
                return
            self._pauses.append(Pause(self._clock() - begun, drained, self._mark()))
            self._steps += 1
            yield item

    def figures(self) -> dict[str, float]:
        """Return what a report says of the steps since the last restart.

        `samples_per_second`, `images_per_second` (a GROUP's members counted one by one; latents in stage 2),
        `step_seconds`, `data_wait` (share of the time in which the device had nothing to do but wait for a batch),
        `gpu_memory_gib` (most that tensors held at once) and `mfu` (FLOP/s as a share of what a matrix product
        reaches on this device in the stage's precision).
        """
        state, batch = self.state, self.state.stage.config.batch_size
        seconds = self._clock() - self._started
        rate = self._steps * batch / seconds
        found = {
            "samples_per_second": rate,
            "images_per_second": rate * self._members,
            "step_seconds": seconds / max(1, self._steps),
            "data_wait": sum(pause.seconds() for pause in self._pauses) / seconds,
        }
        if self._is_cuda:
            found["gpu_memory_gib"] = torch.cuda.max_memory_allocated(state.device) / 2**30
        if self._product_rate:
            found["mfu"] = self._flops_of_step * self._steps / seconds / self._product_rate
        return found

    def _measure(self, batch: Any) -> None:
        state = self.state
        self._flops_of_step = flops_of_step(state.stage.objectives, batch, self._members, state.device)
        self._product_rate = matrix_product_rate(state.device, state.stage.config.precision)

    def _mark(self) -> Mark | None:
        """Note the place in the device's queue that the work handed out so far ends at."""
        if not self._is_cuda:
            return None
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
