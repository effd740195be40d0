"""A method run over any number of images, a batch at a time; inputs and results are on the CPU."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.method import Images, Method
from diffusegae.pixels import to_tensor


@runtime_checkable
class SampledMethod(Protocol):
    """What a method offers besides when it generates by a number of steps that can be chosen."""

    def with_sampling(self, sampling: SamplingConfig) -> Method:
        """Return the same method sampling otherwise."""


@runtime_checkable
class InvertingMethod(Protocol):
    """What a method offers besides when several edits of one source share what is costly: its inferred x_T."""

    def edit_each(self, source: Images, changes: Sequence[Mapping[str, Images]]) -> list[Images]:
        """Return the source after each change, a donor by attribute; without any it is brought back unedited."""


class BatchedMethod:
    """A method under one sampling. What it cannot do raises UnsupportedError as the method does."""

    def __init__(self, method: Method, sampling: SamplingConfig, batch_size: int) -> None:
        self.method = method.with_sampling(sampling) if isinstance(method, SampledMethod) else method
        self.batch_size = batch_size

    def encode(
        self, pixels: UInt8[np.ndarray, "n size size 3"], columns: slice | Sequence[int] = slice(None)
    ) -> Float[np.ndarray, "n dim"]:
        """Return the chosen dimensions of the codes of stored pictures."""
        codes = [self.method.encode(to_tensor(pixels[rows])).cpu().float() for rows in self._batches(len(pixels))]
        return torch.cat(codes).numpy()[:, columns]

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the images as they come back, with all that can be inferred or, given seeds, from codes alone."""
        if seeds is None:
            return self._gather(len(images), lambda rows: self.method.reconstruct(images[rows]))
        return self._gather(len(images), lambda rows: self.method.reconstruct(images[rows], seeds[rows]))

    def edit_each(self, source: Images, donor: Images, names: Sequence[str]) -> Float[Tensor, "changes n 3 h w"]:
        """Return the source unedited, then with each attribute taken from its donor; it is inverted once."""
        results = []
        for rows in self._batches(len(source)):
            changes: list[dict[str, Images]] = [{}, *({name: donor[rows]} for name in names)]
            if isinstance(self.method, InvertingMethod):
                edited = self.method.edit_each(source[rows], changes)
            else:
                back = self.method.reconstruct(source[rows])
                edited = [back, *(self.method.edit(source[rows], change) for change in changes[1:])]
            results.append(torch.stack([images.cpu() for images in edited]))
        return torch.cat(results, dim=1)

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        """Return images whose every attribute comes from its own donor."""
        return self._gather(
            len(seeds),
            lambda rows: self.method.recombine({name: donor[rows] for name, donor in donors.items()}, seeds[rows]),
        )

    def interpolate(
        self, source: Images, target: Images, names: Sequence[str], frames: int
    ) -> Float[Tensor, "batch frames 3 height width"]:
        """Return [rows, frames, …] from source to target, a row at a time: a row is a batch of frames."""
        paths = []
        for row in range(len(source)):
            here, there = source[row : row + 1], target[row : row + 1]
            paths.append(torch.cat([frame.cpu() for frame in self.method.interpolate(here, there, names, frames)]))
        return torch.stack(paths)

    def _gather(self, count: int, function: Callable[[slice], Images]) -> Images:
        return torch.cat([function(rows).cpu() for rows in self._batches(count)])

    def _batches(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self.batch_size):
            yield slice(start, start + self.batch_size)
