"""Pictures that leave the service: their size, and one file or one text per picture in the asked encoding."""

import base64
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from diffusegae.images import Encoding, encode_image, make_grid
from serve.http.answers import PicturesResponse
from serve.tasks import Format, GeneratedImages, Pictures, Presentation

MEDIA_TYPES: Mapping[Format, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "apng": "image/apng",
    "gif": "image/gif",
}
STILL: Mapping[Format, Encoding] = {"png": "png", "jpeg": "jpeg", "webp": "webp", "apng": "png", "gif": "png"}
MAX_SIDE: Mapping[Encoding, int] = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}  # of the formats themselves


def as_file(pictures: Pictures, presentation: Presentation) -> bytes:
    """Return all pictures in one file: side by side, or one after another in an animation."""
    resized = resize(pictures, presentation.size)
    if presentation.format in ("apng", "gif"):
        return _animation(resized, presentation)
    strip = make_grid(resized, columns=len(resized), gap=0)
    return encode_image(strip, STILL[presentation.format])


def as_texts(pictures: Pictures, encoding: Encoding = "png", size: int | None = None) -> tuple[str, ...]:
    """Return each picture in base64."""
    return tuple(base64.b64encode(encode_image(pixels, encoding)).decode() for pixels in resize(pictures, size))


def as_answer(generated: GeneratedImages, presentation: Presentation) -> PicturesResponse:
    """Return the pictures one by one, as JSON carries them."""
    encoding = STILL[presentation.format]
    images = as_texts(generated.pictures, encoding, presentation.size)
    return PicturesResponse(images=images, format=encoding, model=generated.model)


def resize(pictures: Pictures, size: int | None) -> Pictures:
    """Return square pictures with another side (Lanczos); as they are without one."""
    if size is None or pictures.shape[1:3] == (size, size):
        return pictures
    images = (Image.fromarray(pixels) for pixels in pictures)
    return np.stack([np.array(image.resize((size, size), Image.Resampling.LANCZOS)) for image in images])


def _animation(pictures: Pictures, presentation: Presentation) -> bytes:
    images = [Image.fromarray(pixels) for pixels in pictures]
    if presentation.format == "gif":
        images = _with_common_colours(images)
    first, *rest = images
    buffer = io.BytesIO()
    milliseconds = round(1000 * presentation.seconds)
    kind = "GIF" if presentation.format == "gif" else "PNG"
    first.save(buffer, format=kind, save_all=True, append_images=rest, duration=milliseconds, loop=0)
    return buffer.getvalue()


def _with_common_colours(images: list[Image.Image]) -> list[Image.Image]:
    """Return images in 256 colours that they share, so that what stands still does not flicker."""
    strip = Image.fromarray(make_grid(np.stack([np.array(image) for image in images]), columns=len(images), gap=0))
    palette = strip.quantize(256, Image.Quantize.MEDIANCUT)
    return [image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
