"""What the ingress asks of a model replica, and how an editor does it: checked pixels in, pixels or codes out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from diffusegae.editing.editor import Editor
from diffusegae.images import to_pixels, to_tensor

Pixels = UInt8[np.ndarray, "height width 3"]
Pictures = UInt8[np.ndarray, "count height width 3"]
Code = Float32[np.ndarray, " z_dis"]


@dataclass(frozen=True)
class Edit:
    """Take the named attributes from donors; the noise is inferred from the source without a seed."""

    source: Pixels
    donors: Mapping[str, Pixels]
    seed: int | None
    steps: int


@dataclass(frozen=True)
class Recombine:
    """Take every attribute from its donor."""

    donors: Mapping[str, Pixels]
    seed: int
    steps: int


@dataclass(frozen=True)
class Interpolate:
    """Go from source to target in the named attributes."""

    source: Pixels
    target: Pixels
    names: tuple[str, ...]
    frames: int
    steps: int


@dataclass(frozen=True)
class Reconstruct:
    """Bring the source back; the noise is inferred from it without a seed."""

    source: Pixels
    seed: int | None
    steps: int


@dataclass(frozen=True)
class Encode:
    """Read the source's z_dis."""

    source: Pixels


PictureTask = Edit | Recombine | Interpolate | Reconstruct


@dataclass(frozen=True)
class Painted:
    """Pictures, and the model version that made them."""

    pictures: Pictures
    model: str


@dataclass(frozen=True)
class Encoded:
    """A z_dis, and the model version that made it."""

    code: Code
    model: str


def paint(editor: Editor, task: PictureTask) -> Pictures:
    """Do a task that ends in pictures."""
    editor = editor.with_sampling(editor.sampling.model_copy(update={"steps": task.steps}))
    match task:
        case Edit():
            images = editor.edit(_batch(task.source), _batches(task.donors), _seeds(task.seed))
        case Recombine():
            images = editor.recombine(_batches(task.donors), [task.seed])
        case Interpolate():
            source, target = _batch(task.source), _batch(task.target)
            images = torch.cat(editor.interpolate(source, target, task.names, task.frames))
        case Reconstruct():
            images = editor.reconstruct(_batch(task.source), _seeds(task.seed))
    return to_pixels(images)


def encode(editor: Editor, task: Encode) -> Code:
    """Return the z_dis of a picture."""
    code: Code = editor.encode(_batch(task.source))[0].cpu().numpy()
    return code


def _batch(pixels: Pixels) -> Float32[Tensor, "1 3 height width"]:
    return to_tensor(pixels)[None]


def _batches(donors: Mapping[str, Pixels]) -> dict[str, Tensor]:
    return {name: _batch(pixels) for name, pixels in donors.items()}


def _seeds(seed: int | None) -> list[int] | None:
    return None if seed is None else [seed]
