"""Editing with an auto-encoder of pixels: encode, replace parts of the code, decode.

A code leaves nothing open, so seeds change nothing, and nothing but the code can be inferred of a picture.
"""

from collections.abc import Mapping, Sequence

import torch

from diffusegae.baselines.pixel_autoencoder import PixelAutoEncoder
from diffusegae.editing.method import Codes, Images
from diffusegae.models.parts import interpolate_parts, recombine, replace_parts
from diffusegae.schema import AttributeSchema


class PixelAutoEncoderMethod:
    """Edits pictures with an auto-encoder of pixels whose code is the schema's parts; satisfies `Method`."""

    def __init__(
        self,
        autoencoder: PixelAutoEncoder,
        schema: AttributeSchema,
        image_size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.autoencoder = autoencoder.to(device).eval()
        self.schema, self.image_size, self.device = schema, image_size, torch.device(device)

    @property
    def parts(self) -> tuple[slice, ...]:
        """The attributes' slices of a code."""
        return self.schema.slices

    @torch.inference_mode()
    def encode(self, images: Images) -> Codes:
        """Return the codes."""
        return self.autoencoder.encode(images.to(self.device))

    @torch.inference_mode()
    def decode(self, codes: Codes, seeds: Sequence[int] | None = None) -> Images:
        """Return the images of codes, the same for all seeds."""
        return self.autoencoder.decode(codes.to(self.device)).clamp(-1, 1)

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the images as they come back from their codes."""
        return self.decode(self.encode(images))

    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        """Return the source with each named attribute's part taken from its donor."""
        codes = self.encode(source)
        for name, donor in donors.items():
            codes = replace_parts(codes, self.encode(donor), [self.schema.slice_of(name)])
        return self.decode(codes)

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int] | None = None) -> Images:
        """Return images whose every attribute's part comes from its own donor."""
        return self.decode(recombine([self.encode(donors[name]) for name in self.schema.names], self.parts))

    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        """Return `frames` batches from source to target: Lerp of the named parts."""
        start, end = self.encode(source), self.encode(target)
        parts = [self.schema.slice_of(name) for name in names]
        alphas = torch.linspace(0, 1, frames).tolist()
        return [self.decode(interpolate_parts(start, end, alpha, parts)) for alpha in alphas]
