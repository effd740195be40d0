"""From what a file holds to plain pictures: upright, 8 bits per channel, sRGB, opaque."""

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms

from diffusegae.formats import NOT_READ, ImageError

Colour = tuple[int, int, int]

# What turns a picture the way its camera was held (Exif 2.3, tag 0x0112).
TURNS: Mapping[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The mode of Pillow for each colour space of a profile (ICC.1:2022 table 19).
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GREY, _KEPT_PROFILES = ("1", "L", "LA"), 8


def upright(image: Image.Image) -> Image.Image:
    """Turn a loaded picture as its Exif data say; damaged ones say nothing, as in every viewer."""
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # whatever Pillow raises at damaged data
        return image
    return image if turn is None else image.transpose(turn)


def to_srgb(image: Image.Image, background: Colour) -> Image.Image:
    """Turn a loaded picture of any mode into opaque RGB, laid over `background` where it is transparent.

    Of 16 bits the upper 8 are kept. Colours go from the embedded profile to sRGB (perceptual intent); a profile that is
    damaged, or of another colour space than the picture, is ignored, and so is sRGB itself.

    Raises:
        ImageError: its pixels have 32 bits, whose range no file tells.
    """
    if image.mode in ("I", "F"):
        detail = f"pixels of 32 bits (mode {image.mode}), whose range is unknown; scale them and save them as 8 bits"
        raise ImageError(f"{NOT_READ}: 32 bits per channel", detail)
    if image.mode.startswith("I;16"):
        image = _upper_bytes(image)
    if not image.has_transparency_data:
        return _managed(image)
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        image.info["transparency"] = tuple(level >> 8 for level in key)  # 16 bits, of which Pillow kept 8
    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    if "icc_profile" in image.info:
        colours = _managed(layer.convert("L" if image.mode in _GREY else "RGB"))
        colours.putalpha(layer.getchannel("A"))
        layer = colours
    canvas = Image.new("RGB", layer.size, background)
    canvas.paste(layer, (0, 0), layer)
    return canvas


def _upper_bytes(image: Image.Image) -> Image.Image:
    levels = np.asarray(image)
    grey = Image.fromarray((levels >> 8).astype(np.uint8))
    key = image.info.get("transparency")
    if key is not None:
        grey.putalpha(Image.fromarray(np.where(levels == key, 0, 255).astype(np.uint8)))
    if profile := image.info.get("icc_profile"):
        grey.info["icc_profile"] = profile
    return grey


def _managed(image: Image.Image) -> Image.Image:
    """Turn an opaque picture into RGB, by its profile if it has one that fits."""
    profile = image.info.get("icc_profile")
    if transform := _transform(profile, image.mode) if profile else None:
        mode = transform.input_mode
        return transform.apply(image if image.mode == mode else image.convert(mode))
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(_KEPT_PROFILES)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what takes pictures of a mode from a profile to sRGB; None where that changes or means nothing."""
    given = "CMYK" if mode == "CMYK" else "L" if mode in _GREY else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        expected = _MODES.get(source.profile.xcolor_space.strip())
        is_srgb = expected == "RGB" and "srgb" in (source.profile.profile_description or "").lower()
        if is_srgb or expected is None or (given, expected) not in {(expected, expected), ("L", "RGB")}:
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), expected, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
