"""The operations that make pictures, written once for every way of having them done.

`Client` and `AsyncClient` return pictures, their `follow` streams of progress, their `jobs` jobs; all take the same
arguments, documented here. Pictures are given as a path, the bytes of a PNG, JPEG or WebP, uint8 RGB pixels
[height, width, 3], a Pillow image or an earlier answer.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack

import numpy as np
from numpy.typing import ArrayLike

from .answers import NoiseMap
from .calls import ALL, ONE, Message, PictureRequest, picture_text
from .errors import InputError
from .pictures import Picture, PictureLike, as_base64
from .reading import Frames

One = TypeVar("One", covariant=True)
Many = TypeVar("Many", covariant=True)
Noise = Literal["inferred", "random"]
Sampler = Literal["ddim", "dpm++"]


class Sampling(TypedDict, total=False):
    """The sampling options of pictures; the model's own where left out.

    steps: network calls of one sampling or inversion, at most the schema's max_steps.
    sampler: DDIM or DPM-Solver++(2M).
    seed: of the noise where it is random, 0 to 2^63 - 1; the same seed gives the same picture.
    size: side of the pictures in pixels, 16 to 1024.
    """

    steps: int
    sampler: Sampler
    seed: int
    size: int


class EncodeOptions(TypedDict, total=False):
    """The options of inferring the noise of a picture: `steps` and `sampler` as in `Sampling`."""

    steps: int
    sampler: Sampler


class Options(Sampling, total=False):
    """`Sampling`, and the format of the pictures: png is lossless and the default."""

    format: Literal["png", "jpeg", "webp"]


class Operations(ABC, Generic[One, Many]):
    """Edit, recombine, interpolate, reconstruct, decode.

    All raise, now or when the result is taken: InputError for what cannot be sent, ServiceError for what the service
    refuses, TransportError when no answer comes, AnswerError when it is not this API's.
    """

    @abstractmethod
    def _one(self, request: PictureRequest[Picture]) -> One: ...

    @abstractmethod
    def _many(self, request: PictureRequest[Frames]) -> Many: ...

    def edit(
        self,
        source: PictureLike,
        *,
        donors: Mapping[str, PictureLike] | None = None,
        values: Mapping[str, str] | None = None,
        strengths: Mapping[str, float] | None = None,
        x_T: Noise = "inferred",
        **options: Unpack[Options],
    ) -> One:
        """Change attributes of the source and leave the rest alone.

        Args:
            source: the picture.
            donors: for an attribute, the picture it is taken from.
            values: for an attribute, the name of the value it gets; each attribute is in donors or values, not both.
            strengths: how far each changed attribute goes towards its donor or value, 0 to 1; 1 when left out.
            x_T: the noise; inferred from the source it keeps its details, random only what the model encodes.
            options: see `Options`.
        """

        def message() -> Message:
            return _present(
                source=picture_text(source, "source"),
                donors=_pictures(donors),
                values=dict(values or {}),
                strengths=dict(strengths or {}),
                x_T=x_T,
                **options,
            )

        return self._one(PictureRequest("edit", message, ONE))

    def recombine(
        self,
        *,
        donors: Mapping[str, PictureLike] | None = None,
        values: Mapping[str, str] | None = None,
        x_T: NoiseMap | None = None,
        **options: Unpack[Options],
    ) -> One:
        """Make a picture of which every attribute comes from its own donor or value.

        Args:
            donors: for an attribute, the picture it is taken from.
            values: for an attribute, the name of its value; together they name every attribute once.
            x_T: float32 [3, s, s] such as `Code.x_T`; drawn from the seed when None.
            options: see `Options`.
        """

        def message() -> Message:
            noise = _noise(x_T)
            return _present(donors=_pictures(donors), values=dict(values or {}), x_T=noise, **options)

        return self._one(PictureRequest("recombine", message, ONE))

    def interpolate(
        self,
        source: PictureLike,
        target: PictureLike,
        *,
        attributes: Sequence[str] = (),
        frames: int = 8,
        **options: Unpack[Options],
    ) -> Many:
        """Go from source to target in the named attributes, or in all when none is named.

        The result is `frames` pictures, the source's reconstruction first.
        """
        message = _interpolation(source, target, attributes, frames, options)
        return self._many(PictureRequest("interpolate", message, ALL))

    def reconstruct(self, source: PictureLike, *, x_T: Noise = "inferred", **options: Unpack[Options]) -> One:
        """Reconstruct a picture through the model."""

        def message() -> Message:
            return {"source": picture_text(source, "source"), "x_T": x_T, **options}

        return self._one(PictureRequest("reconstruct", message, ONE))

    def decode(self, parts: Mapping[str, ArrayLike], *, x_T: NoiseMap | None = None, **options: Unpack[Options]) -> One:
        """Make the picture of a code.

        Args:
            parts: for every attribute its part of z_dis, finite, [width], such as `Code.parts` or a blend of several.
            x_T: float32 [3, s, s] such as `Code.x_T`; drawn from the seed when None.
            options: see `Options`.
        """

        def message() -> Message:
            numbers = {name: _numbers(part, f"parts.{name}") for name, part in parts.items()}
            return {"parts": numbers, "x_T": _noise(x_T), **options}

        return self._one(PictureRequest("decode", message, ONE))


class Animations(Operations[One, Many]):
    """`Operations`, and `animate`, which gives a file and no events."""

    def animate(
        self,
        source: PictureLike,
        target: PictureLike,
        *,
        attributes: Sequence[str] = (),
        frames: int = 8,
        format: Literal["apng", "gif"] = "apng",
        seconds: float = 0.1,
        **sampling: Unpack[Sampling],
    ) -> One:
        """Interpolate into one moving picture that shows each frame for `seconds`, .02 to 5."""
        options = {**sampling, "format": format, "seconds": seconds}
        message = _interpolation(source, target, attributes, frames, options)
        return self._one(PictureRequest("interpolate", message, ONE))


def _interpolation(
    source: PictureLike,
    target: PictureLike,
    attributes: Sequence[str],
    frames: int,
    options: Mapping[str, Any],
) -> Any:
    def message() -> Message:
        return {
            "source": picture_text(source, "source"),
            "target": picture_text(target, "target"),
            "attributes": list(attributes),
            "frames": frames,
            **options,
        }

    return message


def _present(**fields: Any) -> Message:
    """Leave out empty mappings: the service checks only the fields that are there."""
    return {name: value for name, value in fields.items() if value != {}}


def _pictures(pictures: Mapping[str, PictureLike] | None) -> dict[str, str]:
    return {name: picture_text(picture, f"donors.{name}") for name, picture in (pictures or {}).items()}


def _noise(x_T: NoiseMap | None) -> str:
    """Write x_T as base64 of little-endian float32."""
    if x_T is None:
        return "random"
    values = np.asarray(x_T)
    if values.ndim != 3 or values.shape[0] != 3 or values.shape[1] != values.shape[2] or values.dtype.kind != "f":
        raise InputError(
            f"x_T: {values.dtype} of shape {list(values.shape)}; expected float32 [3, side, side], as encode returns"
        )
    return as_base64(values.astype("<f4").tobytes())


def _numbers(part: ArrayLike, where: str) -> list[float]:
    values = np.asarray(part, np.float32)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(f"{where}: {list(values.shape)} values; expected finite numbers [width], as encode returns")
    return [float(value) for value in values]
