"""The protocol that every editing method satisfies, ours and each baseline: encode, decode, edit.

Metrics, the comparison and the service ask for nothing else. A code's slices (by the schema) are the attributes' parts;
a method that has no parts says so by its schema-less measures, not by another interface.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from diffusegae.schema import AttributeSchema

Images = Float[Tensor, "batch 3 height width"]
Codes = Float[Tensor, "batch code"]


@runtime_checkable
class Method(Protocol):
    """Something that edits single attributes of pictures; images are float32 [-1, 1]."""

    @property
    def schema(self) -> AttributeSchema:
        """The attributes it edits."""

    @property
    def image_size(self) -> int:
        """Side of its images in pixels."""

    def encode(self, images: Images) -> Codes:
        """Return the codes whose slices are the attributes' parts."""

    def decode(self, codes: Codes, seeds: Sequence[int]) -> Images:
        """Return images of codes; what a code leaves open is drawn from each image's seed."""

    def edit(self, source: Images, donors: Mapping[str, Images]) -> Images:
        """Return the source with each named attribute taken from its donor, everything else kept."""
