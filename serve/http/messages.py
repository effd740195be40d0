"""The requests of the API and the fields that each may hold.

JSON is read strictly, a form leniently: there every value is text or a file, and the context says so (`FORM`).
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema

from diffusegae.diffusion.samplers import SamplerName

MAX_SEED = 2**63 - 1
MIN_SIZE = 16
MAX_MAGNITUDE = 1000.0  # of z_dis and x_T, whose values are within 10 or so; beyond, float32 overflows in the network
FORM: Mapping[str, bool] = {"form": True}
PICTURE_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "format": "picture",
    "contentEncoding": "base64",
    "contentMediaType": "image/png",
    "description": "PNG, JPEG or WebP in base64, or as a data: URL.",
}
NOISE_SCHEMA = {
    "anyOf": [
        {"const": "random", "type": "string"},
        {"type": "string", "minLength": 1, "format": "noise", "contentEncoding": "base64"},
    ],
    "description": "x_T: random, drawn from the seed; or as encode gives it, little-endian float32 [3, s, s] in base64",
}


def _from_base64(value: Any) -> Any:
    """Decode a picture that came inside JSON; an uploaded file comes as bytes."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("expected a picture in base64, as text")
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected a picture in base64, or as an uploaded file; what came is not base64") from None


def _noise(value: Any) -> Any:
    """Decode x_T; an uploaded file holds its bytes as they are."""
    if isinstance(value, bytes) or value == "random":
        return value
    if not isinstance(value, str):
        raise ValueError("expected 'random', or float32 numbers in base64, as text")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected 'random', or float32 numbers in base64; what came is neither") from None


def _listed(value: Any, info: ValidationInfo) -> Any:
    """Read 'a,b' of a form, and the list of JSON."""
    if isinstance(value, str) and info.context == FORM:
        value = [item.strip() for item in value.split(",") if item.strip()]
    return tuple(value) if isinstance(value, list) else value


def _flag(value: Any, info: ValidationInfo) -> Any:
    """Read true and false in a form, and nothing else that could mean them."""
    if info.context == FORM and value not in ("true", "false"):
        raise ValueError("Input should be true or false")
    return value


def _whole(value: Any) -> Any:
    """Read 4.0 as 4, as JSON Schema does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Picture = Annotated[bytes, BeforeValidator(_from_base64), Field(min_length=1), WithJsonSchema(PICTURE_SCHEMA)]
GivenNoise = Annotated[Literal["random"] | bytes, BeforeValidator(_noise), WithJsonSchema(NOISE_SCHEMA)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Part = Annotated[
    tuple[Annotated[float, Field(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE, allow_inf_nan=False)], ...],
    BeforeValidator(_listed),
]
Whole = Annotated[int, BeforeValidator(_whole)]
Steps = Annotated[int, Field(ge=1), BeforeValidator(_whole)]
Size = Annotated[int, Field(ge=MIN_SIZE), BeforeValidator(_whole)]
Strength = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Noise = Annotated[
    Literal["inferred", "random"],
    Field(description="x_T: inferred from the source keeps its details, random keeps only what the model encodes."),
]
Donors = Annotated[dict[str, Picture], Field(description="Attribute to the picture it is taken from.")]
Values = Annotated[dict[str, str], Field(description="Attribute to the name of the value it gets.")]


class Message(BaseModel):
    """A frozen message that rejects fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplingMessage(Message):
    """A request that runs the diffusion model."""

    steps: Steps | None = Field(
        None, description="Sampling steps, from an integer stride; the model's own when absent."
    )
    sampler: SamplerName | None = Field(None, description="Sampler; the model's own when absent.")


class PictureMessage(SamplingMessage):
    """A request that generates pictures."""

    seed: Whole = Field(0, ge=0, le=MAX_SEED, description="Seed of the noise, when it is random.")
    size: Size | None = Field(None, description="Side of the answered picture in pixels; the model's own when absent.")


class StillMessage(PictureMessage):
    """A request that generates one picture."""

    format: Literal["png", "jpeg", "webp"] = Field("png", description="Encoding of the answered picture.")


class EditRequest(StillMessage):
    """Change attributes of a picture to those of donors, or to named values.

    At least one attribute is changed, and each changed one is named either in donors or in values.
    """

    source: Picture
    donors: Donors = {}
    values: Values = {}
    strengths: dict[str, Strength] = Field(
        {}, description="Changed attribute to how far it goes: 0 not, 1 all the way."
    )
    x_T: Noise = "inferred"  # noqa: N815 - the paper's symbol


class RecombineRequest(StillMessage):
    """Make a picture whose every attribute comes from its own donor, or is a named value.

    Every attribute is named exactly once, in donors or in values.
    """

    donors: Donors = {}
    values: Values = {}
    x_T: GivenNoise = "random"  # noqa: N815


class InterpolateRequest(PictureMessage):
    """Go from one picture to another, in all attributes or in some.

    A still format shows the frames side by side, an animated one shows them one after another.
    """

    source: Picture
    target: Picture
    attributes: Names = Field((), description="Attributes that change; all when empty.")
    frames: Whole = Field(8, ge=2, description="Pictures from source to target, both included.")
    format: Literal["png", "jpeg", "webp", "apng", "gif"] = Field("png", description="Encoding of the answer.")
    seconds: float = Field(
        0.1, ge=0.02, le=5, allow_inf_nan=False, description="How long an animation (apng, gif) shows a frame."
    )


class ReconstructRequest(StillMessage):
    """Reconstruct a picture through the model."""

    source: Picture
    x_T: Noise = "inferred"  # noqa: N815


class DecodeRequest(StillMessage):
    """Make a picture of the attributes' parts of z_dis, as encode gives them or changed."""

    parts: dict[str, Part] = Field(description="Every attribute to its part of z_dis.")
    x_T: GivenNoise = "random"  # noqa: N815


class EncodeRequest(SamplingMessage):
    """Read a picture's part of z_dis for each attribute and, on request, the noise that generates it."""

    source: Picture
    noise: Annotated[bool, BeforeValidator(_flag)] = Field(
        False, description="Whether x_T is inferred as well, which takes `steps` network calls."
    )


class JobRequest(Message):
    """Start an operation while the client does not wait."""

    operation: Literal["edit", "recombine", "interpolate", "reconstruct", "decode"] = Field(
        description="Which operation; its request is what POST /v1/<operation> takes."
    )
    request: dict[str, Any] = Field(description="The operation's request.")
