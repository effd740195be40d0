"""The messages of the API: what a request may hold, what an answer holds, and what is known of the served model."""

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from diffusegae.schema import AttributeSchema

MAX_SEED = 2**63 - 1
PICTURE_SCHEMA = {
    "type": "string",
    "contentEncoding": "base64",
    "contentMediaType": "image/png",
    "description": "PNG, JPEG or WebP in base64, or as a data: URL.",
}


def _from_base64(value: Any) -> Any:
    """Decode a picture that came inside JSON; an uploaded file comes as bytes."""
    if not isinstance(value, str):
        return value
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"expected a picture in base64, or as an uploaded file ({error})") from error


def _split_names(value: Any) -> Any:
    """Read 'a,b', as a form or a command line has it."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


Picture = Annotated[bytes, BeforeValidator(_from_base64), Field(min_length=1), WithJsonSchema(PICTURE_SCHEMA)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split_names)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="Seed of the noise, when it is random.")]
Noise = Annotated[
    Literal["inferred", "random"],
    Field(description="x_T: inferred from the source keeps its details, random keeps only what the model encodes."),
]


class Message(BaseModel):
    """A frozen message that rejects fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StepsMessage(Message):
    """A request that generates pictures."""

    steps: int | None = Field(None, ge=1, description="Sampling steps; the model's own number when absent.")


class EditRequest(StepsMessage):
    """Replace attributes of a picture by those of donors."""

    source: Picture
    donors: dict[str, Picture] = Field(min_length=1, description="Attribute name to the picture it is taken from.")
    x_T: Noise = "inferred"  # noqa: N815 - the paper's symbol
    seed: Seed = 0


class RecombineRequest(StepsMessage):
    """Make a picture whose every attribute comes from its own donor."""

    donors: dict[str, Picture] = Field(min_length=1, description="A donor for every attribute.")
    seed: Seed = 0


class InterpolateRequest(StepsMessage):
    """Go from one picture to another, in all attributes or in some."""

    source: Picture
    target: Picture
    attributes: Names = Field((), description="Attributes that change; all when empty.")
    frames: int = Field(8, ge=2, description="Pictures from source to target, both included.")


class ReconstructRequest(StepsMessage):
    """Bring a picture back through the model."""

    source: Picture
    x_T: Noise = "inferred"  # noqa: N815 - the paper's symbol
    seed: Seed = 0


class EncodeRequest(Message):
    """Read a picture's latent parts."""

    source: Picture


class ServedModel(Message):
    """What the service knows of the model version it serves."""

    name: str
    version: str
    stage: str
    samples_seen: int
    image_size: int
    num_timesteps: int
    default_steps: int
    attributes: AttributeSchema

    @property
    def label(self) -> str:
        """Name and version as answers carry them."""
        return f"{self.name}/{self.version}"


class PicturesResponse(Message):
    """Pictures as PNG in base64."""

    images: tuple[str, ...]
    model: str


class EncodeResponse(Message):
    """The picture's part of z_dis for each attribute."""

    parts: dict[str, tuple[float, ...]]
    model: str


class AttributeDescription(Message):
    """One attribute that can be edited."""

    name: str
    values: tuple[str, ...]
    width: int


class SchemaResponse(Message):
    """What can be asked of the model."""

    attributes: tuple[AttributeDescription, ...]
    image_size: int
    default_steps: int
    max_steps: int
    max_frames: int


class ModelDescription(Message):
    """One served model version."""

    name: str
    version: str
    stage: str
    samples_seen: int
    image_size: int


class ModelsResponse(Message):
    """The model versions that answer."""

    models: tuple[ModelDescription, ...]


class HealthResponse(Message):
    """The model answers."""

    status: Literal["ok"] = "ok"
    model: str


class ProblemDetails(Message):
    """Why a request was refused (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
