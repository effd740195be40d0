"""A method run over any number of images, a batch at a time; inputs and results are on the CPU, progress is logged."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.method import Images, Method
from diffusegae.images import to_tensor
from diffusegae.metrics.batched import Progress


@runtime_checkable
class SampledMethod(Protocol):
    """What a method offers besides when it generates by a number of steps that can be chosen."""

    def with_sampling(self, sampling: SamplingConfig) -> Method:
        """Return the same method sampling otherwise."""


def steps_of(method: Method, sampling: SamplingConfig) -> int:
    """Return how many network calls an image takes: the sampling's, or 1 of a method that does not sample."""
    return sampling.steps if isinstance(method, SampledMethod) else 1


class BatchedMethod:
    """A method under one sampling. What it cannot do raises UnsupportedError as the method does."""

    def __init__(self, method: Method, sampling: SamplingConfig, batch_size: int, progress: Progress) -> None:
        self.method = method.with_sampling(sampling) if isinstance(method, SampledMethod) else method
        self.steps, self.batch_size, self.progress = steps_of(method, sampling), batch_size, progress

    def encode(
        self, pixels: UInt8[np.ndarray, "n size size 3"], columns: slice | Sequence[int] = slice(None)
    ) -> Float[np.ndarray, "n dim"]:
        """Return the chosen dimensions of the codes of stored pictures."""
        codes = []
        for rows in self._batches(len(pixels)):
            codes.append(self.method.encode(to_tensor(pixels[rows])).cpu().float().numpy()[:, columns])
            self.progress.advance(len(codes[-1]), "encoding")
        return np.concatenate(codes)

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the images as they come back."""
        if seeds is None:
            return self._gather(len(images), lambda rows: self.method.reconstruct(images[rows]), 2)
        return self._gather(len(images), lambda rows: self.method.reconstruct(images[rows], seeds[rows]), 1)

    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        """Return the source with each named attribute taken from its donor."""
        return self._gather(
            len(source),
            lambda rows: self.method.edit(source[rows], {name: donor[rows] for name, donor in donors.items()}),
            2,
        )

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        """Return images whose every attribute comes from its own donor."""
        return self._gather(
            len(seeds),
            lambda rows: self.method.recombine({name: donor[rows] for name, donor in donors.items()}, seeds[rows]),
            1,
        )

    def interpolate(
        self, source: Images, target: Images, names: Sequence[str], frames: int
    ) -> Float[Tensor, "batch frames 3 height width"]:
        """Return [rows, frames, …] from source to target, a row at a time: a row is a batch of frames."""
        paths = []
        for row in range(len(source)):
            here, there = source[row : row + 1], target[row : row + 1]
            paths.append(torch.cat([frame.cpu() for frame in self.method.interpolate(here, there, names, frames)]))
            self.progress.advance(self.steps * (2 + frames), "interpolation")
        return torch.stack(paths)

    def _gather(self, count: int, function: Callable[[slice], Images], passes: int) -> Images:
        """Run over all rows; an image takes `passes` times the steps."""
        results = []
        for rows in self._batches(count):
            results.append(function(rows).cpu())
            self.progress.advance(len(results[-1]) * self.steps * passes, "pictures")
        return torch.cat(results)

    def _batches(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self.batch_size):
            yield slice(start, start + self.batch_size)
