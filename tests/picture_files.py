"""Pictures as people have them, in tiny files, each with the upright RGB pixels that it shows."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Pixels = npt.NDArray[np.uint8]

HEIGHT, WIDTH = 16, 24
PIXELS: Pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
# What makes a stored picture upright (Exif 2.3, tag 0x0112).
TURN: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored.transpose(1, 0, 2), 2),
    8: np.rot90,
}
BACK = TURN | {6: TURN[8], 8: TURN[6]}


@dataclass(frozen=True)
class PictureFile:
    """A file, the pixels that it shows, and how far decoded ones may be from them."""

    name: str
    data: bytes
    pixels: Pixels
    tolerance: int = 0


def saved(image: Image.Image | Pixels, kind: str, **options: Any) -> bytes:
    """Return a picture as a file of some format."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(np.ascontiguousarray(image))).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


def flat(*colour: int) -> Pixels:
    """Return a picture of one colour."""
    return np.full((HEIGHT, WIDTH, 3), colour, np.uint8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(levels: npt.NDArray[np.uint16], colour_type: int, *chunks: bytes) -> bytes:
    """Write a PNG of 16 bits per channel, which Pillow does for grey alone."""
    height, width = levels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    parts = (_chunk(b"IHDR", header), *chunks, _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def turned_files() -> list[PictureFile]:
    """Return pictures held in each of the ways in which a camera can be held."""
    files = []
    for orientation, turn in TURN.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = BACK[orientation](PIXELS)
        for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
            data = saved(stored, kind, exif=exif, **options)
            files.append(PictureFile(f"{kind} turned {orientation}", data, PIXELS))
        plain = np.asarray(Image.open(io.BytesIO(saved(stored, "JPEG"))))
        data = saved(stored, "JPEG", exif=exif)
        files.append(PictureFile(f"JPEG turned {orientation}", data, turn(plain)))
    return files


def deep_files() -> list[PictureFile]:
    """Return pictures of 16 bits per channel, whose upper 8 count."""
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 2**16, (HEIGHT, WIDTH), np.uint16)
    deep = rng.integers(0, 2**16, (HEIGHT, WIDTH, 4), np.uint16)
    deep[..., 3] = np.where(np.arange(WIDTH) < WIDTH // 2, 0, 65_535)
    cut = np.where(deep[..., 3:] == 0, 255, deep[..., :3] >> 8).astype(np.uint8)
    grey_pixels = (grey >> 8).astype(np.uint8)[..., None].repeat(3, axis=2)
    keyed, coloured = grey_pixels.copy(), (deep[..., :3] >> 8).astype(np.uint8)
    keyed[grey == grey[3, 4]] = 255
    files = {
        "16-bit grey PNG": (saved(grey, "PNG"), grey_pixels),
        "16-bit grey TIFF": (saved(grey, "TIFF"), grey_pixels),
        "16-bit grey PNG with a clear level": (
            png16(grey, 0, _chunk(b"tRNS", struct.pack(">H", int(grey[3, 4])))), keyed,
        ),
        "16-bit RGB PNG": (png16(deep[..., :3], 2), coloured),
        "16-bit RGBA PNG": (png16(deep, 6), cut),
    }  # fmt: skip
    clear = np.full((HEIGHT, WIDTH, 3), 40_000, np.uint16)
    data = png16(clear, 2, _chunk(b"tRNS", struct.pack(">HHH", 40_000, 40_000, 40_000)))
    files["16-bit RGB PNG with a clear colour"] = (data, flat(255, 255, 255))
    return [PictureFile(name, *file) for name, file in files.items()]


def cut_outs(hidden: int = 0) -> list[PictureFile]:
    """Return pictures that show PIXELS on the left of white; `hidden` is the level of what nobody sees on the right."""
    half = WIDTH // 2
    alpha = np.where(np.arange(WIDTH) < half, 255, 0).astype(np.uint8)[None].repeat(HEIGHT, axis=0)
    stored, seen = PIXELS.copy(), PIXELS.copy()
    stored[:, half:], seen[:, half:] = hidden, 255
    layers = np.dstack([stored, alpha])
    grey, grey_seen = stored[..., 0], seen[..., :1].repeat(3, axis=2)
    few = Image.fromarray(PIXELS).quantize(32)
    clear = few.copy()
    clear.putpalette([*few.getpalette()[:96], hidden, hidden, hidden])
    clear.paste(32, (half, 0, WIDTH, HEIGHT))
    few_seen = np.asarray(few.convert("RGB")).copy()
    few_seen[:, half:] = 255
    solid = np.where(np.arange(WIDTH) < half, 10, 200).astype(np.uint8)[None, :, None].repeat(HEIGHT, 0).repeat(3, 2)
    solid_seen = np.where(solid == 200, 255, solid)
    return [
        PictureFile("RGBA PNG", saved(layers, "PNG"), seen),
        PictureFile("RGBA WEBP", saved(layers, "WEBP", lossless=True, exact=True), seen),
        PictureFile("RGBA TIFF", saved(layers, "TIFF"), seen),
        PictureFile("grey PNG with alpha", saved(np.dstack([grey, alpha]), "PNG"), grey_seen),
        PictureFile("palette PNG", saved(clear, "PNG", transparency=32), few_seen),
        PictureFile("palette PNG, levels", saved(clear, "PNG", transparency=bytes([255] * 32 + [0])), few_seen),
        PictureFile("palette GIF", saved(clear, "GIF", transparency=32), few_seen),
        PictureFile("RGB PNG with a clear colour", saved(solid, "PNG", transparency=(200, 200, 200)), solid_seen),
        PictureFile("grey PNG with a clear level", saved(solid[..., 0], "PNG", transparency=200), solid_seen),
    ]


def glass() -> PictureFile:
    """Return a picture that is half transparent everywhere."""
    layers = np.dstack([PIXELS, np.full((HEIGHT, WIDTH), 128, np.uint8)])
    over_white = np.rint((PIXELS.astype(float) * 128 + 255 * 127) / 255).astype(np.uint8)
    return PictureFile("half transparent PNG", saved(layers, "PNG"), over_white, 1)


def ycck() -> PictureFile:
    """Return an Adobe YCCK JPEG, inverted as Adobe's are: a CMYK one that holds Y, Cb, Cr in the place of C, M, Y."""
    inks = (200, 40, 90, 30)
    y, cb, cr = Image.new("RGB", (WIDTH, HEIGHT), inks[:3]).convert("YCbCr").split()
    # Pillow inverts what it writes; K is stored inverted, so it is given as it is.
    planes = [255 - np.asarray(plane) for plane in (y, cb, cr)] + [np.full((HEIGHT, WIDTH), inks[3], np.uint8)]
    data = bytearray(saved(Image.merge("CMYK", [Image.fromarray(plane) for plane in planes]), "JPEG", quality=100))
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    colour = [round((255 - ink) * (255 - inks[3]) / 255) for ink in inks[:3]]
    return PictureFile("YCCK JPEG", bytes(data), flat(*colour), 3)


def profile(space: bytes, connection: bytes, **tags: bytes) -> bytes:
    """Write an ICC profile (ICC.1:2001-04 clause 6) of the given tags."""
    white = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    tags = {"wtpt": b"XYZ \0\0\0\0" + white, **tags}
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s12x4s28x", offset + len(body), b"", 0x02400000, b"prtr", space, connection, b"acsp")
    return (head + white).ljust(128, b"\0") + table + body


def swapped_profile() -> bytes:
    """Return a profile whose red is sRGB's green and the other way round."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    renamed = srgb.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    return renamed.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def ink_profile() -> bytes:
    """Return a CMYK profile by which black ink is white and all else black."""
    matrix = struct.pack(">9i", *(0x10000 * (place % 4 == 0) for place in range(9)))
    identity = bytes(range(256))
    lightness = b"".join(bytes([255 * (place % 2), 128, 128]) for place in range(2**4))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + 4 * identity + lightness + 3 * identity
    return profile(b"CMYK", b"Lab ", A2B0=lut)


def profiled_files() -> list[PictureFile]:
    """Return pictures whose colours mean what a profile says."""
    grey = np.full((HEIGHT, WIDTH), 55, np.uint8)  # .2157 of the light: 128 in sRGB
    linear = profile(b"GRAY", b"XYZ ", kTRC=b"curv\0\0\0\0\0\0\0\0")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped, inks = swapped_profile(), Image.new("CMYK", (WIDTH, HEIGHT), (0, 0, 0, 255))
    layers = np.dstack([PIXELS, np.full((HEIGHT, WIDTH), 255, np.uint8)])
    exchanged = np.ascontiguousarray(PIXELS[..., [1, 0, 2]])
    return [
        PictureFile("RGB PNG with a profile", saved(PIXELS, "PNG", icc_profile=swapped), exchanged, 2),
        PictureFile("RGBA PNG with a profile", saved(layers, "PNG", icc_profile=swapped), exchanged, 2),
        PictureFile("grey PNG with a profile", saved(grey, "PNG", icc_profile=linear), flat(128, 128, 128), 2),
        PictureFile("CMYK JPEG with a profile", saved(inks, "JPEG", icc_profile=ink_profile()), flat(255, 255, 255), 2),
        PictureFile("PNG with the profile sRGB", saved(PIXELS, "PNG", icc_profile=srgb), PIXELS),
        PictureFile("PNG with a damaged profile", saved(PIXELS, "PNG", icc_profile=swapped[:200]), PIXELS),
        PictureFile("PNG with a profile of another space", saved(PIXELS, "PNG", icc_profile=ink_profile()), PIXELS),
    ]


def other_files() -> list[PictureFile]:
    """Return animations, and formats beside the three common ones."""
    frames = [Image.fromarray(flat(*colour)) for colour in ((255, 0, 0), (0, 0, 255))]
    moving = {"save_all": True, "append_images": frames[1:]}
    red, orange = flat(255, 0, 0), flat(200, 90, 40)
    cmyk = saved(Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)), "JPEG", quality=100)
    return [
        PictureFile("GIF animation", saved(frames[0], "GIF", **moving), red),
        PictureFile("PNG animation", saved(frames[0], "PNG", **moving), red),
        PictureFile("WEBP animation", saved(frames[0], "WEBP", lossless=True, **moving), red),
        PictureFile("CMYK JPEG", cmyk, red, 3),
        PictureFile("BMP", saved(PIXELS, "BMP"), PIXELS),
        PictureFile("TIFF, compressed", saved(PIXELS, "TIFF", compression="tiff_lzw"), PIXELS),
        PictureFile("TIFF of CMYK", saved(Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)), "TIFF"), red),
        PictureFile("AVIF", saved(orange, "AVIF", quality=100, subsampling="4:4:4"), orange, 3),
        PictureFile("one-bit PNG", saved(Image.fromarray(orange).convert("1", dither=0), "PNG"), flat(0, 0, 0)),
    ]


FILES = (*turned_files(), *deep_files(), *cut_outs(), glass(), ycck(), *profiled_files(), *other_files())
