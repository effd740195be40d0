"""Calls of a few fixed batch sizes in place of any: buffers that a recorded call reads, and the choice among sizes.

A batch is copied into the first rows of the buffers of the smallest size that holds it; what the rows behind it hold
is of an earlier batch and changes nothing, since images do not see each other. Larger batches are called as they are.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Num
from torch import Tensor

from diffusegae.models.unet import Condition

# (x_t, t, condition) -> prediction, as UNet.denoise
Call = Callable[[Tensor, Tensor, Condition], Tensor]


@dataclass(frozen=True, eq=False)
class Recording:
    """A call that can be repeated: `replay` has it read its inputs again and write its output again."""

    replay: Callable[[], object]
    output: Float[Tensor, "size 3 height width"]


# Runs a call on the very tensors of its closure and returns the recording of it.
Recorder = Callable[[Callable[[], Tensor]], Recording]


class Inputs:
    """The buffers of x_t, t and the condition, as large as the largest batch; smaller ones use their first rows."""

    def __init__(
        self, size: int, x_t: Float[Tensor, "batch 3 height width"], t: Num[Tensor, " batch"], condition: Condition
    ) -> None:
        @torch.inference_mode(False)  # a buffer made inside may not be written to outside
        def buffer(like: Tensor) -> Tensor:
            return torch.zeros(size, *like.shape[1:], dtype=like.dtype, device=like.device)

        self.x_t, self.t = buffer(x_t), buffer(t)
        canvas = None if condition.canvas is None else buffer(condition.canvas)
        self.condition = Condition(buffer(condition.style), canvas)
        self._filled: Condition | None = None

    def first(self, size: int) -> tuple[Tensor, Tensor, Condition]:
        """Return the buffers' first rows, in place."""
        style, canvas = self.condition
        return self.x_t[:size], self.t[:size], Condition(style[:size], None if canvas is None else canvas[:size])

    def fill(self, x_t: Float[Tensor, "batch 3 height width"], t: Num[Tensor, " batch"], condition: Condition) -> None:
        """Copy a batch into the first rows; a condition that is the one of the last call is there already."""
        own_x_t, own_t, own_condition = self.first(len(x_t))
        own_x_t.copy_(x_t)
        own_t.copy_(t)
        if condition is self._filled:
            return
        for own, given in zip(own_condition, condition, strict=True):
            if own is not None and given is not None:
                own.copy_(given)
        self._filled = condition


class Buckets:
    """A call that is recorded for some batch sizes, each when it is needed first; any thread may call it.

    Args:
        call: what is recorded; it must not depend on anything but its arguments.
        whole: the same for batches larger than the largest size.
        sizes: ascending batch sizes.
        record: what records a call.
    """

    def __init__(self, call: Call, whole: Call, sizes: Sequence[int], record: Recorder) -> None:
        self._call, self._whole, self._record = call, whole, record
        self.sizes = tuple(sizes)
        self._inputs: Inputs | None = None
        self._recordings: dict[int, Recording] = {}
        self._lock = threading.Lock()

    def __call__(
        self, x_t: Float[Tensor, "batch 3 height width"], t: Num[Tensor, " batch"], condition: Condition
    ) -> Float[Tensor, "batch 3 height width"]:
        """Return the prediction, a tensor of its own."""
        size = next((size for size in self.sizes if size >= len(x_t)), None)
        if size is None:
            return self._whole(x_t, t, condition)
        with self._lock:
            if self._inputs is None:
                self._inputs = Inputs(self.sizes[-1], x_t, t, condition)
            self._inputs.fill(x_t, t, condition)
            recording = self._recordings.get(size) or self._record_size(size, self._inputs)
            recording.replay()
            return recording.output[: len(x_t)].clone(memory_format=torch.contiguous_format)

    def _record_size(self, size: int, inputs: Inputs) -> Recording:
        own = inputs.first(size)
        recording = self._recordings[size] = self._record(lambda: self._call(*own))
        return recording
