"""Tasks for the model replicas, and their results: pixels or codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from diffusegae.config.model import SamplingConfig
from diffusegae.editing.operations import Interpolate, PictureOperation

Pictures = UInt8[np.ndarray, "count height width 3"]
Code = Float32[np.ndarray, " z_dis"]
NoiseMap = Float32[np.ndarray, "3 height width"]
Format = Literal["png", "jpeg", "webp", "apng", "gif"]
JobStatus = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Task:
    """An edit operation for one image, its named values still names, and how it samples and inverts."""

    operation: PictureOperation
    sampling: SamplingConfig

    @property
    def steps(self) -> int:
        """Network calls of an image, inversion included."""
        infers_noise = isinstance(self.operation, Interpolate) or self.operation.x_T is None
        return self.sampling.steps * (2 if infers_noise else 1)


@dataclass(frozen=True)
class SamplingProgress:
    """The progress of a task: network calls done of all; estimates of its pictures once they are being generated."""

    step: int
    steps: int
    pictures: Pictures | None


@dataclass(frozen=True)
class GeneratedImages:
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
    """The form of answered pictures: encoding, side in pixels (the model's when None), seconds of a frame."""

    format: Format = "png"
    size: int | None = None
    seconds: float = 0.1


@dataclass(frozen=True)
class JobState:
    """The state of a job: its progress, and its pictures or the reason why there are none."""

    id: str
    status: JobStatus
    step: int
    steps: int
    presentation: Presentation
    generated: GeneratedImages | None = None
    problem: Mapping[str, str | int] | None = None
