"""What the ingress asks of a model replica and what comes back: checked pixels and codes in, pixels or codes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from diffusegae.diffusion.samplers import SamplerName

Pixels = UInt8[np.ndarray, "height width 3"]
Pictures = UInt8[np.ndarray, "count height width 3"]
Code = Float32[np.ndarray, " z_dis"]
NoiseMap = Float32[np.ndarray, "3 height width"]
Donor = Pixels | str  # a picture, or the name of a value of the attribute
Format = Literal["png", "jpeg", "webp", "apng", "gif"]
JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Sampling:
    """How a task samples and inverts."""

    steps: int
    sampler: SamplerName


@dataclass(frozen=True)
class Change:
    """Where an attribute of an edit comes from, and how far towards it: 0 leaves the source's, 1 takes the donor's."""

    donor: Donor
    strength: float = 1.0


@dataclass(frozen=True)
class Edit:
    """Change the named attributes; the noise is inferred from the source without a seed."""

    source: Pixels
    changes: Mapping[str, Change]
    seed: int | None
    sampling: Sampling


@dataclass(frozen=True)
class Recombine:
    """Take every attribute from its donor; the noise is drawn from a seed or given."""

    donors: Mapping[str, Donor]
    noise: int | NoiseMap
    sampling: Sampling


@dataclass(frozen=True)
class Interpolate:
    """Go from source to target in the named attributes."""

    source: Pixels
    target: Pixels
    names: tuple[str, ...]
    frames: int
    sampling: Sampling


@dataclass(frozen=True)
class Reconstruct:
    """Bring the source back; the noise is inferred from it without a seed."""

    source: Pixels
    seed: int | None
    sampling: Sampling


@dataclass(frozen=True)
class Decode:
    """Make a picture of a z_dis; the noise is drawn from a seed or given."""

    code: Code
    noise: int | NoiseMap
    sampling: Sampling


@dataclass(frozen=True)
class Encode:
    """Read the source's z_dis and, with sampling, its noise."""

    source: Pixels
    sampling: Sampling | None


PictureTask = Edit | Recombine | Interpolate | Reconstruct | Decode


@dataclass(frozen=True)
class Progress:
    """How far a task is: network calls done of all; the estimates of its pictures once they are being generated."""

    step: int
    steps: int
    pictures: Pictures | None


@dataclass(frozen=True)
class Painted:
    """Pictures, and the model version that made them."""

    pictures: Pictures
    model: str


@dataclass(frozen=True)
class Encoded:
    """A z_dis, the noise if it was asked for, and the model version that made them."""

    code: Code
    noise: NoiseMap | None
    model: str


@dataclass(frozen=True)
class Presentation:
    """How pictures leave the service: encoding, side in pixels (the model's when None), seconds of a frame."""

    format: Format = "png"
    size: int | None = None
    seconds: float = 0.1


@dataclass(frozen=True)
class JobState:
    """A long request: where it is, and its pictures or the reason why there are none."""

    id: str
    status: JobStatus
    step: int
    steps: int
    presentation: Presentation
    painted: Painted | None = None
    problem: Mapping[str, str | int] | None = None
