"""Checks of messages against the model and the limits, which turn them into tasks; nothing behind it checks again."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from diffusegae.config.model import SamplingConfig
from diffusegae.diffusion.schedule import timestep_grid
from diffusegae.editing.method import Codes, Images
from diffusegae.editing.operations import Donor, Edit, Generate, Interpolate, Recombine, Reconstruct, Seeds
from diffusegae.editing.operations import Noise as NoiseMap
from diffusegae.pixels import to_tensor
from serve.http.messages import (
    MAX_MAGNITUDE,
    MIN_SIZE,
    DecodeRequest,
    EditRequest,
    EncodeRequest,
    InterpolateRequest,
    Noise,
    PictureMessage,
    RecombineRequest,
    ReconstructRequest,
    SamplingMessage,
)
from serve.http.pictures import MAX_SIDE, STILL
from serve.http.uploads import read_picture
from serve.problems import Problem, shown
from serve.served import ServedModel
from serve.tasks import Format, Presentation, Task


class Limits(BaseModel):
    """The limits of one request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_request_bytes: int = Field(20 * 2**20, gt=0, description="Size of a request's body.")
    max_pixels: int = Field(16_000_000, gt=0, description="Pixels of a picture, before it is decoded.")
    max_steps: int = Field(250, gt=0, description="Sampling steps.")
    max_frames: int = Field(16, ge=2, description="Pictures of an interpolation.")
    max_seconds: float = Field(110, gt=0, description="Time of a request; less than request_timeout_s of Serve.")
    max_size: int = Field(1024, ge=MIN_SIZE, le=4096, description="Side of an answered picture in pixels.")


class Checks:
    """Turns messages into tasks for a model, or raises a Problem that names what is wrong."""

    def __init__(self, served: ServedModel, limits: Limits) -> None:
        self.served, self.limits = served, limits

    def edit(self, message: EditRequest) -> Task:
        """Check a change of attributes."""
        self._check_sources(message.donors, message.values)
        changed = (*message.donors, *message.values)
        if not changed:
            names = ", ".join(self.served.attributes.names)
            raise Problem(
                422, "Nothing to change", f"donors and values are both empty; name in one of them what changes: {names}"
            )
        for name, strength in message.strengths.items():
            if name not in changed:
                self._check_names("strengths", [name])
                detail = f"strengths.{name}={strength:g}: {name} is in neither donors nor values; add it to one of them"
                raise Problem(422, "Strength without change", detail)
        x_T, sampling = _seeds(message.x_T, message.seed), self._sampling(message)
        source, donors = self._image("source", message.source), self._donors(message.donors, message.values)
        return Task(Edit(source, donors, message.strengths, x_T), sampling)

    def recombine(self, message: RecombineRequest) -> Task:
        """Check a recombination: every attribute comes from somewhere."""
        self._check_sources(message.donors, message.values)
        missing = [
            name for name in self.served.attributes.names if name not in message.donors and name not in message.values
        ]
        if missing:
            detail = f"donors: none for {', '.join(missing)}; every attribute needs one, or a named value in values"
            raise Problem(422, "Donor missing", detail)
        x_T, sampling = self._noise(message.x_T, message.seed), self._sampling(message)
        return Task(Recombine(self._donors(message.donors, message.values), x_T), sampling)

    def interpolate(self, message: InterpolateRequest) -> Task:
        """Check an interpolation."""
        names = tuple(dict.fromkeys(message.attributes)) or self.served.attributes.names
        self._check_names("attributes", names)
        frames = self._frames(message)
        if frames > self.limits.max_frames:
            detail = f"frames={shown(frames)}; at most {self.limits.max_frames} are allowed"
            raise Problem(422, "Too many frames", detail)
        sampling = self._sampling(message)
        source, target = self._image("source", message.source), self._image("target", message.target)
        return Task(Interpolate(source, target, names, frames), sampling)

    def reconstruct(self, message: ReconstructRequest) -> Task:
        """Check a reconstruction."""
        x_T, sampling = _seeds(message.x_T, message.seed), self._sampling(message)
        return Task(Reconstruct(self._image("source", message.source), x_T), sampling)

    def decode(self, message: DecodeRequest) -> Task:
        """Check a decoding: every attribute's part, of its width."""
        codes, x_T = self._codes(message.parts), self._noise(message.x_T, message.seed)
        return Task(Generate(codes, x_T), self._sampling(message))

    def encode(self, message: EncodeRequest) -> tuple[Images, SamplingConfig | None]:
        """Check an encoding; return the image, and how its noise is inferred if it is asked for."""
        sampling = self._sampling(message)
        return self._image("source", message.source), sampling if message.noise else None

    def presentation(self, message: PictureMessage) -> Presentation:
        """Check how the pictures of a request are to leave the service."""
        if message.size is not None and message.size > self.limits.max_size:
            detail = f"size={shown(message.size)}; at most {self.limits.max_size} pixels are allowed"
            raise Problem(422, "Picture too wide", detail)
        encoding: Format = getattr(message, "format", "png")
        frames = self._frames(message) if isinstance(message, InterpolateRequest) else 1
        side, widest = message.size or self.served.image_size, MAX_SIDE[STILL[encoding]]
        if side * frames > widest:
            detail = (
                f"{frames} frames of {side} pixels are wider than the {widest} that {encoding} can hold;"
                " ask for a smaller size, fewer frames or format=png"
            )
            raise Problem(422, "Picture too wide", detail)
        seconds = message.seconds if isinstance(message, InterpolateRequest) else Presentation.seconds
        return Presentation(encoding, message.size, seconds)

    def _check_names(self, where: str, names: Iterable[str]) -> None:
        known = self.served.attributes.names
        for name in names:
            if name not in known:
                detail = f"{where}: unknown attribute {shown(name)}; the attributes are: {', '.join(known)}"
                raise Problem(422, "Unknown attribute", detail)

    def _check_sources(self, donors: Iterable[str], values: Mapping[str, str]) -> None:
        """Check where each attribute comes from, before any donor is decoded."""
        self._check_names("donors", donors)
        self._check_names("values", values)
        for name in donors:
            if name in values:
                detail = f"donors.{name} and values.{name}: both say where {name} comes from; leave one of them out"
                raise Problem(422, "Attribute named twice", detail)
        for name, value in values.items():
            self._check_value(name, value)

    def _check_value(self, name: str, value: str) -> None:
        known = self.served.centroid_values.get(name, ())
        if value in known:
            return
        where = f"values.{name}={shown(value)}"
        if known:
            listed = ", ".join(known[:50]) + (", …" if len(known) > 50 else "")
            raise Problem(422, "Unknown value", f"{where}; the values of {name} that go by name are: {listed}")
        whose = f"of {name} " if any(self.served.centroid_values.values()) else ""
        remedy = f"send a picture as donors.{name} instead"
        raise Problem(422, "Unknown value", f"{where}: {self.served.label} knows no values {whose}by name; {remedy}")

    def _donors(self, donors: Mapping[str, bytes], values: Mapping[str, str]) -> dict[str, Donor]:
        """Decode donors; all attributes in the schema's order, so that the same request is always the same task."""
        found: dict[str, Donor] = {name: self._image(f"donors.{name}", data) for name, data in donors.items()}
        found.update(values)
        return {name: found[name] for name in self.served.attributes.names if name in found}

    def _frames(self, message: InterpolateRequest) -> int:
        """Return the frames that are asked for; the usual number, or the limit where that is less, if none is named."""
        is_named = "frames" in message.model_fields_set
        return message.frames if is_named else min(message.frames, self.limits.max_frames)

    def _sampling(self, message: SamplingMessage) -> SamplingConfig:
        sampler = message.sampler or self.served.samplers[0]
        if sampler not in self.served.samplers:
            allowed = ", ".join(self.served.samplers)
            raise Problem(422, "Unknown sampler", f"sampler={shown(sampler)}; the model samples with: {allowed}")
        return SamplingConfig(steps=self._steps(message.steps), sampler=sampler)

    def _steps(self, steps: int | None) -> int:
        if steps is None:
            return self.served.default_steps
        if steps > self.limits.max_steps:
            raise Problem(422, "Too many steps", f"steps={shown(steps)}; at most {self.limits.max_steps} are allowed")
        try:
            timestep_grid(self.served.num_timesteps, steps)
        except ValueError as error:
            raise Problem(422, "Steps not possible", str(error)) from error
        return steps

    def _image(self, where: str, data: bytes) -> Images:
        size, framing = self.served.image_size, self.served.framing
        return to_tensor(read_picture(where, data, size, framing, self.limits.max_pixels))[None]

    def _codes(self, parts: Mapping[str, tuple[float, ...]]) -> Codes:
        schema = self.served.attributes
        self._check_names("parts", parts)
        missing = [name for name in schema.names if name not in parts]
        if missing:
            detail = f"parts: none for {', '.join(missing)}; every attribute needs its part, as encode gives it"
            raise Problem(422, "Part missing", detail)
        for attribute in schema.attributes:
            length = len(parts[attribute.name])
            if length != attribute.width:
                detail = f"parts.{attribute.name}: {length} numbers; expected {attribute.width}, as encode gives them"
                raise Problem(422, "Part of another width", detail)
        return torch.tensor([[number for name in schema.names for number in parts[name]]], dtype=torch.float32)

    def _noise(self, x_T: Literal["random"] | bytes, seed: int) -> NoiseMap | Seeds:
        if isinstance(x_T, str):
            return (seed,)
        shape = (3, self.served.image_size, self.served.image_size)
        expected = 4 * int(np.prod(shape))
        remedy = f"expected {expected} of little-endian float32 {list(shape)}, as encode gives them, or 'random'"
        if len(x_T) != expected:
            raise Problem(422, "Not a noise map", f"x_T: {len(x_T)} bytes; {remedy}")
        noise = np.frombuffer(x_T, "<f4").astype(np.float32).reshape(shape)
        if not (np.abs(noise) <= MAX_MAGNITUDE).all():  # neither NaN nor infinity is
            detail = f"x_T: numbers that are not finite or beyond {MAX_MAGNITUDE:g}; {remedy}"
            raise Problem(422, "Not a noise map", detail)
        return torch.from_numpy(noise)[None]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that answers pictures: its message, and what turns that into a task."""

    message: type[PictureMessage]
    check: Callable[[Checks, Any], Task]

    def prepare(self, checks: Checks, message: PictureMessage) -> tuple[Task, Presentation]:
        """Return the task, and how its pictures are to leave the service."""
        presentation = checks.presentation(message)
        return self.check(checks, message), presentation


ENDPOINTS: Mapping[str, Endpoint] = {
    "edit": Endpoint(EditRequest, Checks.edit),
    "recombine": Endpoint(RecombineRequest, Checks.recombine),
    "interpolate": Endpoint(InterpolateRequest, Checks.interpolate),
    "reconstruct": Endpoint(ReconstructRequest, Checks.reconstruct),
    "decode": Endpoint(DecodeRequest, Checks.decode),
}


def step_counts(served: ServedModel, limits: Limits) -> tuple[int, ...]:
    """Return the numbers of steps that a model can be asked for, ascending."""
    return tuple(count for count in _possible_counts(served.num_timesteps) if count <= limits.max_steps)


def step_count_from(num_timesteps: int, steps: int) -> int:
    """Return the least possible number of steps that is no less than the given one."""
    return next((count for count in _possible_counts(num_timesteps) if count >= steps), num_timesteps)


def _possible_counts(num_timesteps: int) -> list[int]:
    return sorted({-(-num_timesteps // stride) for stride in range(1, num_timesteps + 1)})


def _seeds(x_T: Noise, seed: int) -> Seeds | None:
    return (seed,) if x_T == "random" else None
