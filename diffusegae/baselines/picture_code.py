"""Methods that keep the picture: a code is its pixels, flattened, followed by one part per attribute.

StarGAN and ELEGANT have no code from which a picture could be made again; they change a picture that they are given. So
the picture is part of the code, an edit replaces attributes' parts of it, and nothing is left to be drawn from a seed.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.editing.method import Codes, Images
from diffusegae.models.parts import interpolate_parts, replace_parts
from diffusegae.schema import AttributeSchema

Parts = Float[Tensor, "batch part_values"]


class PictureMethod(ABC):
    """Edits a picture by the parts beside it; satisfies `Method` once `read` and `render` are given."""

    def __init__(
        self, schema: AttributeSchema, image_size: int, part_widths: Sequence[int], device: torch.device | str
    ) -> None:
        self.schema, self.image_size, self.device = schema, image_size, torch.device(device)
        self.num_pixels = 3 * image_size**2
        bounds = accumulate(part_widths, initial=self.num_pixels)
        self.parts = tuple(slice(start, stop) for start, stop in pairwise(bounds))

    @abstractmethod
    def read(self, images: Images) -> Parts:
        """Return the parts of all attributes of images on the device, side by side."""

    @abstractmethod
    def render(self, images: Images, parts: Parts) -> Images:
        """Return the images as the parts say."""

    @torch.inference_mode()
    def encode(self, images: Images) -> Codes:
        """Return each picture's pixels and parts."""
        images = images.to(self.device)
        return torch.cat([images.flatten(1), self.read(images)], dim=1)

    @torch.inference_mode()
    def decode(self, codes: Codes, seeds: Sequence[int]) -> Images:
        """Return the pictures in the codes as the parts beside them say; seeds are of no use here."""
        return self._decode(codes)

    @torch.inference_mode()
    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the images under their own parts."""
        return self._decode(self.encode(images))

    @torch.inference_mode()
    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        """Return the source with each named attribute's part taken from its donor."""
        codes = self.encode(source)
        for name, donor in donors.items():
            codes = replace_parts(codes, self.encode(donor), self._parts_of([name]))
        return self._decode(codes)

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        """Return the first attribute's donor, edited to have all other attributes of theirs."""
        first, *others = self.schema.names
        return self.edit(donors[first], {name: donors[name] for name in others})

    @torch.inference_mode()
    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        """Return `frames` batches by Lerp of the named parts; the picture that is changed stays the source's."""
        start, end, parts = self.encode(source), self.encode(target), self._parts_of(names)
        alphas = torch.linspace(0, 1, frames).tolist()
        return [self._decode(interpolate_parts(start, end, alpha, parts)) for alpha in alphas]

    def _parts_of(self, names: Sequence[str]) -> list[slice]:
        return [self.parts[self.schema.index_of(name)] for name in names]

    def _decode(self, codes: Codes) -> Images:
        codes = codes.to(self.device)
        images = codes[:, : self.num_pixels].unflatten(1, (3, self.image_size, self.image_size))
        return self.render(images, codes[:, self.num_pixels :]).clamp(-1, 1)
