"""From messages to tasks: what the model and the limits allow is checked here, and nowhere behind it."""

import io
from collections.abc import Iterable, Mapping

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from diffusegae.diffusion.schedule import timestep_grid
from diffusegae.images import ALLOWED_FORMATS, ImageError, decode_image
from diffusegae.schema import SchemaError

from .messages import (
    EditRequest,
    EncodeRequest,
    InterpolateRequest,
    Noise,
    RecombineRequest,
    ReconstructRequest,
    ServedModel,
)
from .problems import Problem
from .tasks import Edit, Encode, Interpolate, Pixels, Recombine, Reconstruct


class Limits(BaseModel):
    """What one request may ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_request_bytes: int = Field(20 * 2**20, gt=0, description="Size of a request's body.")
    max_pixels: int = Field(16_000_000, gt=0, description="Pixels of a picture, before it is decoded.")
    max_steps: int = Field(250, gt=0, description="Sampling steps.")
    max_frames: int = Field(16, ge=2, description="Pictures of an interpolation.")


class Checks:
    """Turns messages into tasks for a model, or raises the Problem that tells the client what is wrong."""

    def __init__(self, served: ServedModel, limits: Limits) -> None:
        self.served, self.limits = served, limits

    def edit(self, message: EditRequest) -> Edit:
        """Check a replacement."""
        self._check_names(message.donors)
        seed, steps = _seed(message.x_T, message.seed), self._steps(message.steps)
        return Edit(self._pixels("source", message.source), self._donors(message.donors), seed, steps)

    def recombine(self, message: RecombineRequest) -> Recombine:
        """Check a recombination: every attribute needs its donor."""
        self._check_names(message.donors)
        missing = [name for name in self.served.attributes.names if name not in message.donors]
        if missing:
            raise Problem(422, "Donor missing", f"donors: none for {', '.join(missing)}; every attribute needs one")
        return Recombine(self._donors(message.donors), message.seed, self._steps(message.steps))

    def interpolate(self, message: InterpolateRequest) -> Interpolate:
        """Check an interpolation."""
        names = message.attributes or self.served.attributes.names
        self._check_names(names)
        if message.frames > self.limits.max_frames:
            raise Problem(
                422, "Too many frames", f"frames={message.frames}; at most {self.limits.max_frames} are allowed"
            )
        source, target = self._pixels("source", message.source), self._pixels("target", message.target)
        return Interpolate(source, target, names, message.frames, self._steps(message.steps))

    def reconstruct(self, message: ReconstructRequest) -> Reconstruct:
        """Check a reconstruction."""
        seed, steps = _seed(message.x_T, message.seed), self._steps(message.steps)
        return Reconstruct(self._pixels("source", message.source), seed, steps)

    def encode(self, message: EncodeRequest) -> Encode:
        """Check an encoding."""
        return Encode(self._pixels("source", message.source))

    def _check_names(self, names: Iterable[str]) -> None:
        try:
            for name in names:
                self.served.attributes.index_of(name)
        except SchemaError as error:
            raise Problem(422, "Unknown attribute", str(error)) from error

    def _donors(self, donors: Mapping[str, bytes]) -> dict[str, Pixels]:
        return {name: self._pixels(f"donors.{name}", data) for name, data in donors.items()}

    def _steps(self, steps: int | None) -> int:
        if steps is None:
            return self.served.default_steps
        if steps > self.limits.max_steps:
            raise Problem(422, "Too many steps", f"steps={steps}; at most {self.limits.max_steps} are allowed")
        try:
            timestep_grid(self.served.num_timesteps, steps)
        except ValueError as error:
            raise Problem(422, "Steps not possible", str(error)) from error
        return steps

    def _pixels(self, where: str, data: bytes) -> Pixels:
        """Decode a picture to the model's size; its pixels are counted in its header first."""
        try:
            with Image.open(io.BytesIO(data), formats=ALLOWED_FORMATS) as header:
                width, height = header.size
            if width * height > self.limits.max_pixels:
                detail = f"{where}: {width} x {height} pixels; at most {self.limits.max_pixels:,} pixels are allowed"
                raise Problem(413, "Picture too large", detail)
            return decode_image(data, self.served.image_size)
        except (ImageError, OSError, Image.DecompressionBombError) as error:
            detail = f"{where}: {len(data)} bytes that do not decode as {', '.join(ALLOWED_FORMATS)} ({error})"
            raise Problem(422, "Not a picture", detail) from error


def _seed(x_T: Noise, seed: int) -> int | None:
    return seed if x_T == "random" else None
