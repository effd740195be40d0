"""The edit operations (section 4.4), and the model calls that they are made of.

An operation is data. Its `calls` yield what it asks of the model and are sent the results. An editor answers them one
after another, for a whole batch; an engine answers those of many operations side by side, so that they share calls of
the network. An operation results in images, but for `Encode`, in z_dis, and `Invert`, in x_T.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from diffusegae.diffusion.process import slerp
from diffusegae.editing.method import Codes, Images
from diffusegae.models.parts import interpolate_parts, recombine, replace_parts
from diffusegae.schema import AttributeSchema

Noise = Float[Tensor, "batch 3 height width"]
Seeds = Sequence[int]  # of x_T ~ N(0, I), one per image
Part = Float[Tensor, "part_width"]
# Images, one per source; a part of z_dis, the same for all; or the name of a value, looked up before the model is asked
Donor = Images | Part | str
Calls = Generator["ModelCall", Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Encode:
    """Ask for the z_dis of images; an operation of this call alone."""

    images: Images

    def calls(self, schema: AttributeSchema) -> Calls:
        """Return z_dis, [batch, z_dis]."""
        return (yield self)


@dataclass(frozen=True, eq=False)
class InferNoise:
    """Ask for the x_T from which codes generate these very images (Eq. 7)."""

    images: Images
    codes: Codes


@dataclass(frozen=True, eq=False)
class Generate:
    """Ask for the images of codes (Eq. 6) from given noise or that of seeds; an operation of this call alone."""

    codes: Codes
    x_T: Noise | Seeds  # noqa: N815 - the paper's symbol

    def calls(self, schema: AttributeSchema) -> Calls:
        """Return images."""
        return (yield self)


ModelCall = Encode | InferNoise | Generate


@dataclass(frozen=True, eq=False)
class Edit:
    """Take the named attributes of the source from donors (replacement, Fig. 6).

    A strength of 0 leaves the source's part, 1 takes the donor's and is meant where none is given, between lies Lerp.
    Without x_T it is inferred from the source, under the z that is the source's before the change.
    """

    source: Images
    donors: Mapping[str, Donor]
    strengths: Mapping[str, float] = field(default_factory=dict)
    x_T: Noise | Seeds | None = None  # noqa: N815

    def calls(self, schema: AttributeSchema) -> Calls:
        """Return the edited images."""
        codes = yield Encode(self.source)
        x_T = self.x_T
        if x_T is None:
            x_T = yield InferNoise(self.source, codes)
        for name, donor in self.donors.items():
            part, strength = schema.slice_of(name), self.strengths.get(name, 1)
            target = yield from _codes_of(donor, name, schema, len(codes))
            if strength == 1:
                codes = replace_parts(codes, target, [part])
            else:
                codes = interpolate_parts(codes, target, strength, [part])
        return (yield Generate(codes, x_T))


@dataclass(frozen=True, eq=False)
class Recombine:
    """Take every attribute from its own donor (Fig. 7)."""

    donors: Mapping[str, Donor]
    x_T: Noise | Seeds  # noqa: N815

    def calls(self, schema: AttributeSchema) -> Calls:
        """Return the recombined images."""
        codes = []
        for name in schema.names:
            codes.append((yield from _codes_of(self.donors[name], name, schema, len(self.x_T))))
        return (yield Generate(recombine(codes, schema.slices), self.x_T))


@dataclass(frozen=True, eq=False)
class Interpolate:
    """Go from source to target in `frames` images: Lerp of the named parts, Slerp of x_T.

    With some attributes only, x_T stays the source's: what is not named must not change (Figs 8 and 9).
    """

    source: Images
    target: Images
    names: Sequence[str]
    frames: int

    def calls(self, schema: AttributeSchema) -> Calls:
        """Return `frames` times the batch, frame by frame."""
        all_named = set(self.names) == set(schema.names)
        start = yield Encode(self.source)
        end = yield Encode(self.target)
        if all_named:
            x_T = yield InferNoise(torch.cat([self.source, self.target]), torch.cat([start, end]))
        else:
            x_T = yield InferNoise(self.source, start)
        first, last = x_T[: len(self.source)], x_T[-len(self.source) :]
        parts = [schema.slice_of(name) for name in self.names]
        alphas = torch.linspace(0, 1, self.frames).tolist()
        return (
            yield Generate(
                torch.cat([interpolate_parts(start, end, alpha, parts) for alpha in alphas]),
                torch.cat([slerp(first, last, alpha) if all_named else first for alpha in alphas]),
            )
        )


@dataclass(frozen=True, eq=False)
class Reconstruct:
    """Reconstruct images, from inferred x_T if none is given."""

    source: Images
    x_T: Noise | Seeds | None = None  # noqa: N815

    def calls(self, schema: AttributeSchema) -> Calls:
        """Return the reconstructions."""
        return Edit(self.source, {}, x_T=self.x_T).calls(schema)


@dataclass(frozen=True, eq=False)
class Invert:
    """Infer the x_T of images under their own z."""

    source: Images

    def calls(self, schema: AttributeSchema) -> Calls:
        """Return x_T."""
        codes = yield Encode(self.source)
        return (yield InferNoise(self.source, codes))


PictureOperation = Edit | Recombine | Interpolate | Reconstruct | Generate
Operation = PictureOperation | Encode | Invert


def _codes_of(donor: Donor, name: str, schema: AttributeSchema, count: int) -> Calls:
    """Return `count` codes whose part of the named attribute is the donor's."""
    if isinstance(donor, str):
        raise ValueError(f"{name}={donor!r} is the name of a value; give its part of z_dis, as value codes hold it")
    if donor.ndim == 4:
        return (yield Encode(donor))
    codes = donor.new_zeros(count, schema.width)
    codes[:, schema.slice_of(name)] = donor
    return codes
