"""The answers of the service beside pictures: model descriptions, codes, the state of a job, progress.

Fields that this client does not know are ignored, so that a newer service can be asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from .pictures import Picture

NoiseMap = NDArray[np.float32]  # x_T, [3, side, side]
Part = NDArray[np.float32]  # of z_dis, [width]


@dataclass(frozen=True)
class Progress:
    """The progress of a request.

    Attributes:
        step: network calls done, of `steps`; inversion included.
        steps: network calls of the whole request.
        pictures: what the pictures look like by now; empty while there is nothing to see.
    """

    step: int
    steps: int
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, eq=False)
class Code:
    """The code that the model reads in a picture.

    Attributes:
        parts: for each attribute its part of z_dis, float32 [width].
        x_T: the noise from which the parts generate this very picture, float32 [3, s, s]; None if not asked for.
        model: name/version of the model that read it; no other model understands it.
    """

    parts: Mapping[str, Part]
    x_T: NoiseMap | None  # noqa: N815 - the paper's symbol
    model: str


class Answer(BaseModel):
    """A frozen message from the service."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class AttributeInfo(Answer):
    """One attribute that can be changed: its values, those that `values=` can name, the width of its part of z_dis."""

    name: str
    values: tuple[str, ...]
    centroid_values: tuple[str, ...]
    width: int


class Schema(Answer):
    """The options of a model; its own sampler and number of steps are the first and the default one.

    `resize` says what becomes of a picture that is no square: crop, pad or stretch. `max_pixels` and
    `max_request_bytes` bound what is sent, the other limits what is made.
    """

    model: str
    attributes: tuple[AttributeInfo, ...]
    image_size: int
    resize: str = "crop"
    samplers: tuple[str, ...]
    default_steps: int
    max_steps: int
    step_counts: tuple[int, ...]
    max_frames: int
    min_size: int
    max_size: int
    max_pixels: int
    max_request_bytes: int


class ModelInfo(Answer):
    """One served model version; `alias` is what a client's `model` asks for it by."""

    alias: str
    name: str
    version: str
    stage: str
    samples_seen: int
    image_size: int


class Health(Answer):
    """The model answers."""

    status: str
    model: str


class JobState(Answer):
    """The state of a job; `problem` holds the reason when it failed."""

    id: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    step: int
    steps: int
    problem: dict[str, str | int | None] | None = None

    @property
    def is_over(self) -> bool:
        """Return whether the job has ended."""
        return self.status in ("done", "failed", "cancelled")


class GalleryItem(Answer):
    """A picture that the service shows to choose from, and the value of each attribute in it."""

    key: str
    labels: dict[str, str]


class GalleryList(Answer):
    """The gallery as it is sent."""

    items: tuple[GalleryItem, ...]


class ModelList(Answer):
    """The served models as they are sent."""

    models: tuple[ModelInfo, ...]


class CodeMessage(Answer):
    """A code as it is sent: x_T as base64 of little-endian float32."""

    parts: dict[str, tuple[float, ...]]
    x_T: str | None = None  # noqa: N815 - the paper's symbol
    model: str


class PicturesMessage(Answer):
    """Pictures as they are sent: base64, one per frame."""

    images: tuple[str, ...]
    format: str = "png"
    model: str


class ProgressMessage(Answer):
    """Progress as it is sent: pictures as base64 of PNG."""

    step: int
    steps: int
    images: tuple[str, ...] = ()
