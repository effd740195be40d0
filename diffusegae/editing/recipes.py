"""The editing operations, each as a generator that yields what it needs of the model and is sent it (section 4.4).

The text of an operation stands here once. An editor follows a recipe at once, for a whole batch; an engine follows many
of them side by side, so that what they need of the network shares its calls. What a recipe returns are images.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.editing.method import Codes, Images
from diffusegae.editing.operations import interpolate_parts, recombine, replace_parts, slerp
from diffusegae.schema import AttributeSchema

Noise = Float[Tensor, "batch 3 height width"]
Part = Float[Tensor, "part_width"]


@dataclass(frozen=True, eq=False)
class Encode:
    """Asks for the z_dis of images."""

    images: Images


@dataclass(frozen=True, eq=False)
class InferNoise:
    """Asks for the x_T from which codes generate these very images (Eq. 7)."""

    images: Images
    codes: Codes


@dataclass(frozen=True, eq=False)
class Generate:
    """Asks for the images of codes from given noise (Eq. 6)."""

    codes: Codes
    x_T: Noise  # noqa: N815 - the paper's symbol


Need = Encode | InferNoise | Generate
Recipe = Generator[Need, Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Change:
    """Where an attribute comes from: donor images, one per source, or a part of z_dis; and how far to go there.

    Strength 0 leaves the source's part, 1 takes the donor's, between them lies Lerp.
    """

    donor: Images | Part
    strength: float = 1.0

    @property
    def pictures(self) -> Images | None:
        """The donor images, None if the donor is a part of z_dis."""
        return self.donor if self.donor.ndim == 4 else None


def encode(images: Images) -> Recipe:
    """Return z_dis, [batch, z_dis]."""
    return (yield Encode(images))


def edit(schema: AttributeSchema, source: Images, changes: Mapping[str, Change], x_T: Noise | None = None) -> Recipe:
    """Return the source with each named attribute changed (replacement, Fig. 6).

    x_T is inferred from the source if none is given, under the z that is the source's before the change.
    """
    source_codes = yield Encode(source)
    if x_T is None:
        x_T = yield InferNoise(source, source_codes)
    codes = source_codes
    for name, change in changes.items():
        part = schema.slice_of(name)
        if change.pictures is not None:
            target = yield Encode(change.pictures)
        else:
            target = _with_part(source_codes, part, change.donor)
        codes = (
            replace_parts(codes, target, [part])
            if change.strength == 1
            else interpolate_parts(codes, target, change.strength, [part])
        )
    return (yield Generate(codes, x_T))


def recombination(schema: AttributeSchema, donors: Mapping[str, Images | Part], x_T: Noise) -> Recipe:
    """Return images whose every attribute comes from its own donor (Fig. 7)."""
    whole = []
    for name in schema.names:
        if donors[name].ndim == 4:
            codes = yield Encode(donors[name])
        else:
            codes = _with_part(x_T.new_zeros(len(x_T), schema.width), schema.slice_of(name), donors[name])
        whole.append(codes)
    return (yield Generate(recombine(whole, schema.slices), x_T))


def interpolation(schema: AttributeSchema, source: Images, target: Images, names: Sequence[str], frames: int) -> Recipe:
    """Return `frames` times the batch, frame by frame, from source to target: Lerp of the named parts, Slerp of x_T.

    With some attributes only, x_T stays the source's: what is not named must not change (Figs 8 and 9).
    """
    all_named = set(names) == set(schema.names)
    start = yield Encode(source)
    end = yield Encode(target)
    if all_named:
        x_T = yield InferNoise(torch.cat([source, target]), torch.cat([start, end]))
    else:
        x_T = yield InferNoise(source, start)
    first, last = x_T[: len(source)], x_T[-len(source) :]
    parts = [schema.slice_of(name) for name in names]
    alphas = torch.linspace(0, 1, frames).tolist()
    return (
        yield Generate(
            torch.cat([interpolate_parts(start, end, alpha, parts) for alpha in alphas]),
            torch.cat([slerp(first, last, alpha) if all_named else first for alpha in alphas]),
        )
    )


def reconstruction(images: Images, x_T: Noise | None = None) -> Recipe:
    """Return the images as the model brings them back, from inferred x_T if none is given."""
    codes = yield Encode(images)
    if x_T is None:
        x_T = yield InferNoise(images, codes)
    return (yield Generate(codes, x_T))


def decoding(codes: Codes, x_T: Noise) -> Recipe:
    """Return images of codes from given noise."""
    return (yield Generate(codes, x_T))


def noise_of(images: Images) -> Recipe:
    """Return the x_T of images under their own z."""
    codes = yield Encode(images)
    return (yield InferNoise(images, codes))


def _with_part(codes: Codes, part: slice, value: Part) -> Codes:
    """Return the codes with one part set to a value, the same in all rows."""
    result = codes.clone()
    result[:, part] = value.to(codes.device)
    return result
