"""The protocol that every editing method satisfies, ours and each baseline: encode, decode, edit and what follows.

Metrics, the comparison and the service ask for nothing else. Every result depends on its own image, donors and seed
alone, never on the batch it was computed in. What a method cannot do it says by UnsupportedError.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from diffusegae.schema import AttributeSchema

Images = Float[Tensor, "batch 3 height width"]
Codes = Float[Tensor, "batch code"]


class UnsupportedError(TypeError):
    """Something asked of a method that it has no way to do, as an edit of a model that knows no attributes."""


@runtime_checkable
class Method(Protocol):
    """Something that edits single attributes of pictures; images are float32 [-1, 1], results clamped to that range."""

    @property
    def schema(self) -> AttributeSchema:
        """The attributes it edits."""

    @property
    def image_size(self) -> int:
        """Side of its images in pixels."""

    @property
    def parts(self) -> tuple[slice, ...] | None:
        """The slices of a code that belong to the attributes, in the schema's order; None for an undivided code."""

    def encode(self, images: Images) -> Codes:
        """Return the codes."""

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Images:
        """Return images of codes; what a code leaves open is drawn from each image's seed."""

    def reconstruct(self, images: Images, seeds: Sequence[int] | None = None) -> Images:
        """Return the images as they come back: from their codes and seeds, or with all else that can be inferred."""

    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        """Return the source with each named attribute taken from its donor, everything else kept."""

    def recombine(self, donors: Mapping[str, Images], seeds: Sequence[int]) -> Images:
        """Return images whose every attribute comes from its own donor."""

    def interpolate(self, source: Images, target: Images, names: Sequence[str], frames: int) -> list[Images]:
        """Return `frames` batches from source to target in the named attributes."""
