"""The way of a batch from the host's memory to the device, on which pixels travel as bytes beside the step before."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffusegae.pixels import normalise, to_tensor


@dataclass(frozen=True)
class Sent:
    """Tensors on their way; on a GPU the copy may still run when they are handed over."""

    tensors: tuple[Tensor, ...]
    done: torch.cuda.Event | None = None

    def receive(self) -> tuple[Tensor, ...]:
        """Return the tensors for use on the current stream; it waits for the copy, the host does not."""
        if self.done is not None:
            stream = torch.cuda.current_stream(self.tensors[0].device)
            stream.wait_event(self.done)
            for tensor in self.tensors:
                tensor.record_stream(stream)  # its memory is not given to the next batch while this stream reads it
        return self.tensors


class Transfer:
    """Sends arrays to a device: to a GPU from page-locked memory on a stream of its own, to a CPU as they are.

    Arrays of uint8 are pixels [rows, height, width, 3]; they arrive as float32 [-1, 1] [rows, 3, height, width], in
    memory as `channels_last` says, except on a CPU, whose numpy makes planes of them. Others arrive unchanged.
    """

    def __init__(self, device: torch.device, channels_last: bool = False) -> None:
        self.device, self.channels_last = device, channels_last
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(self, arrays: Sequence[np.ndarray]) -> Sent:
        """Begin to send arrays; on a GPU this returns before they are there."""
        if self._stream is None:
            return Sent(tuple(self._copy(array) for array in arrays))
        with torch.cuda.stream(self._stream):  # and its device, on which a thread does not begin
            tensors = tuple(self._copy(array) for array in arrays)
            return Sent(tensors, self._stream.record_event())

    def _copy(self, array: np.ndarray) -> Tensor:
        is_image = array.dtype == np.uint8
        if self.device.type == "cpu":
            return to_tensor(array) if is_image else torch.from_numpy(array)
        host = _pinned(array) if self._stream is not None else torch.from_numpy(array)
        values = host.to(self.device, non_blocking=True)
        return normalise(values, self.channels_last) if is_image else values


def _pinned(array: np.ndarray) -> Tensor:
    """Copy an array to page-locked memory by numpy, which wakes no team of threads."""
    held = torch.empty_like(torch.from_numpy(array), pin_memory=True)
    np.copyto(held.numpy(), array)
    return held
