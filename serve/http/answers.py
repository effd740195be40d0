"""The answers of the API in JSON: pictures, codes, jobs, and descriptions of the models."""

from typing import Literal

from pydantic import Field

from diffusegae.diffusion.samplers import SamplerName
from diffusegae.images import Resize
from serve.http.messages import Message
from serve.problems import ProblemDetails
from serve.tasks import JobStatus


class PicturesResponse(Message):
    """Pictures in base64, one per frame, in the asked encoding; frames of an animation as PNG."""

    images: tuple[str, ...]
    format: Literal["png", "jpeg", "webp"]
    model: str


class ProgressEvent(Message):
    """The progress of a request: network calls done of all, and estimates of its pictures as PNG in base64, if any."""

    step: int
    steps: int
    images: tuple[str, ...]


class EncodeResponse(Message):
    """The picture's part of z_dis for each attribute, and its x_T as base64 of little-endian float32 if asked for."""

    parts: dict[str, tuple[float, ...]]
    x_T: str | None  # noqa: N815 - the paper's symbol
    model: str


class AttributeDescription(Message):
    """One attribute that can be edited."""

    name: str
    values: tuple[str, ...]
    width: int = Field(description="Width of its part of z_dis.")
    centroid_values: tuple[str, ...] = Field(description="Values that a request can ask for by name.")


class SchemaResponse(Message):
    """The attributes and options of the model."""

    model: str = Field(description="Name and version.")
    attributes: tuple[AttributeDescription, ...]
    image_size: int
    resize: Resize = Field(description="How the model takes a picture that is no square: see the config's data.resize.")
    samplers: tuple[SamplerName, ...] = Field(description="The first is meant if none is named.")
    default_steps: int
    max_steps: int
    step_counts: tuple[int, ...] = Field(description="The numbers of steps that can be asked for.")
    max_frames: int
    min_size: int
    max_size: int
    max_pixels: int = Field(description="Pixels of a picture that is sent.")
    max_request_bytes: int


class ModelDescription(Message):
    """One served model version."""

    alias: str = Field(description="What ?model= asks for it by.")
    name: str
    version: str
    stage: str
    samples_seen: int
    image_size: int


class ModelsResponse(Message):
    """The model versions that answer; the first one when a request names none."""

    models: tuple[ModelDescription, ...]


class HealthResponse(Message):
    """The model answers."""

    status: Literal["ok"] = "ok"
    model: str


class JobLinks(Message):
    """The addresses of a job's parts."""

    self: str
    events: str
    result: str


class JobResponse(Message):
    """The state of a job."""

    id: str
    status: JobStatus
    step: int
    steps: int
    problem: ProblemDetails | None
    links: JobLinks


class EmptyGallery(Message):
    """The gallery of a service that has none."""

    items: tuple[()] = ()
