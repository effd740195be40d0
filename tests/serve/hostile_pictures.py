"""Bytes that a picture decoder must survive: broken, lying, enormous, of another kind, or merely unusual.

Every maker takes a random generator and returns bytes; MAKERS lists them all.
"""

import base64
import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
FORMATS = ("PNG", "JPEG", "WEBP")
SIDES = (0, 1, 2, 16_384, 30_000, 65_500, 65_535, 100_000, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
Maker = Callable[[random.Random], bytes]


@lru_cache(maxsize=64)
def picture(encoding: str, mode: str = "RGB", size: tuple[int, int] = (40, 36)) -> bytes:
    """Return a good picture of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return encoded(Image.fromarray(pixels).convert(mode), encoding)


def encoded(image: Image.Image, encoding: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=encoding, **options)
    return buffer.getvalue()


def largest() -> list[bytes]:
    """Return honest pictures with as many pixels as one may have, of the kinds that need most memory."""
    image = Image.linear_gradient("L").resize((4000, 4000)).convert("RGB")
    kinds = (("PNG", "RGBA"), ("JPEG", "CMYK"), ("WEBP", "RGBA"))
    return [encoded(image.convert(mode), encoding) for encoding, mode in kinds]


@lru_cache(maxsize=8)
def zeros(mebibytes: int) -> bytes:
    """Return that many MiB of zeros, compressed a thousandfold."""
    return zlib.compress(bytes(mebibytes * 2**20), 9)


# --- damage ---------------------------------------------------------------------------------------------------------


def truncated(rng: random.Random) -> bytes:
    """Cut off anywhere, more often near the ends, where the structure is."""
    data = picture(rng.choice(FORMATS))
    cut = rng.choice((rng.randrange(len(data)), rng.randrange(1, 64), len(data) - rng.randrange(1, 32)))
    return data[:cut]


def bits_flipped(rng: random.Random) -> bytes:
    data = bytearray(picture(rng.choice(FORMATS)))
    limit = rng.choice((64, len(data)))
    for _ in range(rng.choice((1, 2, 8, 64))):
        data[rng.randrange(limit)] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwritten(rng: random.Random) -> bytes:
    data = bytearray(picture(rng.choice(FORMATS)))
    start, length = rng.randrange(len(data)), rng.choice((1, 4, 64, 1000))
    data[start : start + length] = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return bytes(data)


def spliced(rng: random.Random) -> bytes:
    first, second = (picture(rng.choice(FORMATS)) for _ in range(2))
    return first[: rng.randrange(len(first))] + second[rng.randrange(len(second)) :]


def nearly_nothing(rng: random.Random) -> bytes:
    """Empty, one byte, a signature alone, noise."""
    heads = (b"", SIGNATURE, b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WEBP", b"RIFF\xff\xff\xff\xffWEBPVP8X", b"\x00")
    return rng.choice((*heads, rng.randbytes(1), rng.choice(heads) + rng.randbytes(rng.randrange(1, 300))))


# --- PNG ------------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data) if length is None else length) + kind + data + struct.pack(">I", checksum)


def png(*chunks: bytes, width: int = 8, height: int = 8, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def idat(width: int = 8, height: int = 8) -> bytes:
    return chunk(b"IDAT", zlib.compress(bytes(height * (3 * width + 1))))


def png_bomb(rng: random.Random) -> bytes:
    """Much more pixel data than the header says, or just as much for an enormous one."""
    data = chunk(b"IDAT", zeros(rng.choice((16, 64))))
    side = rng.choice((1, 8, 1000, 4000, 4001, 9500, 30_000))
    return png(data, width=side, height=side, colour=rng.choice((0, 2, 6)), interlace=rng.randrange(2))


def png_giant(rng: random.Random) -> bytes:
    return png(idat(), width=rng.choice(SIDES), height=rng.choice(SIDES), depth=rng.choice((1, 8, 16)))


def png_impossible(rng: random.Random) -> bytes:
    """A header whose depth, colour type or interlace does not exist, or whose chunks are in a wrong order."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    ways = (
        png(idat(), depth=rng.choice((0, 3, 17, 255)), colour=rng.choice((1, 3, 5, 7, 255))),
        png(idat(), interlace=rng.randrange(2, 256)),
        png(header, idat()),
        png(idat(), header, idat()),
        png(),
        png(chunk(b"IDAT", b"")),
        png(chunk(b"IDAT", b"not deflate")),
        png(idat(), colour=3),
        png(chunk(b"PLTE", bytes(rng.choice((0, 1, 769, 900)))), idat(), colour=3),
        SIGNATURE + idat() + header,
        SIGNATURE + chunk(b"IHDR", bytes(rng.choice((0, 3, 12, 14)))) + idat(),
        SIGNATURE + chunk(b"IEND", b""),
    )
    return rng.choice(ways)


def png_chunk(rng: random.Random) -> bytes:
    """A malformed or huge chunk between header and pixels: texts, profiles, EXIF, transparency, unknown ones."""
    kind = rng.choice(b"tEXt zTXt iTXt iCCP eXIf tRNS gAMA cHRM sRGB pHYs XXXX".split())
    bomb = rng.choice((b"", b"k", b"profile")) + b"\0\0" + zeros(16)
    small = (b"", b"\0", b"k", b"k\0", b"k\0\x07garbage", b"k\0\1\1en\0k\0", rng.randbytes(200))
    data = rng.choice((*small, bomb, b"A" * 2_000_000))
    length = rng.choice((None, None, None, 0, len(data) + 1000, 2**31 - 1, 2**32 - 1))
    position = rng.randrange(3)
    around = [chunk(kind, data, length)] * rng.choice((1, 1, 2, 12))
    return png(*(around if position == 0 else []), idat(), *(around if position else []))


def png_checksum(rng: random.Random) -> bytes:
    data = bytearray(png(idat()))
    data[rng.choice((29, 30, 31, 32, len(data) - 1, len(data) - 20))] ^= 0xFF
    return bytes(data)


def png_animated(rng: random.Random) -> bytes:
    """An animation that announces up to 2^32 frames, or frames larger than the picture."""
    frames, plays = rng.choice((0, 1, 2, 10_000, 2**31, 2**32 - 1)), rng.choice((0, 2**32 - 1))
    control = chunk(b"acTL", struct.pack(">II", frames, plays))
    side, offset = rng.choice((0, 8, 9, 30_000, 2**31)), rng.choice((0, 1, 2**31))
    ends = rng.randrange(9), rng.randrange(9)
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, side, side, offset, offset, 0, 0, *ends))
    more = chunk(b"fdAT", struct.pack(">I", rng.choice((0, 1, 2**31))) + rng.choice((b"", b"garbage", zeros(1))))
    parts = [control, frame, idat(), frame, more]
    if rng.random() < 0.5:
        rng.shuffle(parts)
    return png(*parts, *[frame, more] * rng.choice((0, 1, 500)))


# --- JPEG -----------------------------------------------------------------------------------------------------------


def segment(marker: int, data: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2 if length is None else length) + data


def jpeg_giant(rng: random.Random) -> bytes:
    """Dimensions and precision of the frame header replaced."""
    data = bytearray(picture("JPEG"))
    start = data.index(b"\xff\xc0")
    sides = [side for side in SIDES if side < 2**16]
    struct.pack_into(">BHH", data, start + 4, rng.choice((8, 8, 12, 16)), rng.choice(sides), rng.choice(sides))
    data[start + 1] = rng.choice((0xC0, 0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCB, 0xCF))
    return bytes(data)


def jpeg_segment(rng: random.Random) -> bytes:
    """A malformed or huge segment after the signature: EXIF, ICC, multi-picture, Adobe, comments, tables."""
    data = picture("JPEG")
    exif, icc = (b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08"), (b"ICC_PROFILE\0", b"ICC_PROFILE\0\1\xff")
    others = (b"MPF\0II*\0\x08\0\0\0", b"Adobe\0d\0\0\0\0\2", b"JFIF\0\1\1\1\0\0\0\0\0\0", b"Photoshop 3.0\0008BIM")
    heads = (*exif, *icc, *others, b"http://ns.adobe.com/xap/1.0/\0<x>", b"")
    marker = rng.choice((0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0xDB, 0xC4, 0xDD, 0xDC, 0xC0, 0xDA))
    content = rng.choice(heads) + rng.choice((b"", rng.randbytes(rng.randrange(1, 300)), bytes(60_000)))
    length = rng.choice((None, None, None, 0, 1, 2, 65_535))
    return data[:2] + segment(marker, content, length) * rng.choice((1, 1, 3, 60)) + data[2:]


def jpeg_scans(rng: random.Random) -> bytes:
    """A progressive picture of up to 16 million pixels with thousands of scans: each costs a pass over all of them."""
    return progressive(4000 if rng.random() < 0.1 else 64, rng.choice((1, 20, 2000, 20_000)))


def progressive(side: int, scans: int) -> bytes:
    """Return a progressive picture whose last scan is repeated."""
    data = plain_progressive(side)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * scans + b"\xff\xd9"


@lru_cache(maxsize=2)
def plain_progressive(side: int) -> bytes:
    return encoded(Image.new("L", (side, side)), "JPEG", progressive=True, quality=10)


# --- WebP -----------------------------------------------------------------------------------------------------------


def riff(*chunks: bytes, length: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if length is None else length) + body


def part(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    return kind + struct.pack("<I", len(data) if length is None else length) + data + bytes(len(data) % 2)


def three_bytes(value: int) -> bytes:
    return struct.pack("<I", value & 0xFFFFFF)[:3]


def webp_lies(rng: random.Random) -> bytes:
    """Wrong sizes of the container, giant canvases, flags for parts that are not there, garbage parts."""
    bitstream = picture("WEBP")[12:]
    side = rng.choice((1, 40, 16_383, 16_384, 2**24 - 1))
    canvas = part(b"VP8X", bytes((rng.randrange(256), 0, 0, 0)) + three_bytes(side - 1) + three_bytes(side - 1))
    kind = rng.choice((b"ICCP", b"EXIF", b"XMP ", b"ALPH", b"VP8L", b"ANIM", b"????"))
    content = rng.choice((b"", b"\x2f", rng.randbytes(200), bytes(500_000)))
    odd = part(kind, content, rng.choice((None, None, 0, 2**32 - 1)))
    parts = [canvas, odd, bitstream]
    if rng.random() < 0.3:
        rng.shuffle(parts)
    return riff(*parts, length=rng.choice((None, None, 0, 12, 2**32 - 2)))


def webp_lossless_giant(rng: random.Random) -> bytes:
    bits = (rng.choice((0, 39, 16_383)) | rng.choice((0, 39, 16_383)) << 14).to_bytes(4, "little")
    return riff(part(b"VP8L", b"\x2f" + bits + rng.choice((b"", bytes(100), rng.randbytes(100)))))


def webp_animated(rng: random.Random) -> bytes:
    """Thousands of frames, or frames outside the canvas."""
    bitstream = picture("WEBP")[12:]
    side, offset, count = rng.choice((40, 4000, 16_384)), rng.choice((0, 1000, 2**24 - 1)), rng.choice((0, 1, 1000))
    canvas = part(b"VP8X", bytes((2, 0, 0, 0)) + three_bytes(side - 1) * 2)
    place = b"".join(three_bytes(value) for value in (offset, offset, 39, 35, rng.choice((0, 2**24 - 1))))
    frame = part(b"ANMF", place + b"\0" + rng.choice((bitstream, b"", b"garbage")))
    return riff(canvas, part(b"ANIM", b"\0\0\0\0" + struct.pack("<H", rng.choice((0, 65_535)))), frame * count)


# --- unusual but right ----------------------------------------------------------------------------------------------


def unusual(rng: random.Random) -> bytes:
    """Palettes, one bit, 16 bits, CMYK, transparency, odd shapes, interlace, orientation: all pictures."""
    encoding, mode = rng.choice(
        [("PNG", mode) for mode in ("1", "L", "LA", "P", "RGBA", "I;16")]
        + [("JPEG", mode) for mode in ("L", "CMYK", "YCbCr")]
        + [("WEBP", mode) for mode in ("RGBA", "L", "P")]
    )
    size = (3999, 4000) if rng.random() < 0.04 else rng.choice(((1, 1), (1, 5000), (5000, 1), (33, 31)))
    image = Image.new("L", size, rng.randrange(256))
    options: dict[str, object] = {"icc_profile": rng.choice((None, b"garbage", rng.randbytes(5000)))}
    if encoding == "PNG" and mode == "P":
        options["transparency"] = rng.choice((0, bytes(range(256))))
    if encoding == "JPEG":
        exif = Image.Exif()
        exif[0x0112] = rng.randrange(12)
        options |= {"exif": exif, "progressive": rng.random() < 0.5}
    return encoded(convert(image, mode), encoding, **options)


def convert(image: Image.Image, mode: str) -> Image.Image:
    """Go from grey to any mode, through one that has a way there."""
    return image.convert("I" if mode == "I;16" else "RGB").convert(mode)


# --- other kinds ----------------------------------------------------------------------------------------------------

ENTITIES = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c SYSTEM "file:///etc/passwd">%s]>'
LAUGHS = b"".join(b'<!ENTITY x%d "&x%d;&x%d;&x%d;&x%d;">' % (n, n - 1, n - 1, n - 1, n - 1) for n in range(1, 30))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><text>&c;&x29;</text></svg>'
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\nshowpage\n"


def of_another_kind(rng: random.Random) -> bytes:
    """A file that the decoder knows but the service does not take, or one that is no picture at all."""
    encoding = rng.choice(("GIF", "TIFF", "BMP", "ICO", "PPM", "TGA", "PCX", "EPS", "JPEG2000", "ICNS", "DDS", "SGI"))
    others = (
        ENTITIES % LAUGHS + SVG,
        ENTITIES % b"" + b"<a>&c;</a>",
        SVG,
        b"<!doctype html><img src=x onerror=alert(1)>",
        b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, *rng.sample(SIDES, 2), 8, 3) + bytes(100),
        b"II*\0\x08\0\0\0\xff\xff" + rng.randbytes(300),
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(100),
        b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj",
        POSTSCRIPT,
        zipped(),
        gzip.compress(bytes(2**20), mtime=0),
        b"\x7fELF" + rng.randbytes(200),
        b"push graphic-context\nimage over 0,0 0,0 'https://example.invalid/x.png|id'\n",
        b"P6 99999999 99999999 255\n",
        b"text",
    )
    known = encoded(Image.new("RGB", (16, 16)), encoding)
    return rng.choice((known, rng.choice(others), rng.choice(others)))


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("../../evil.png"), bytes(10**6))
    return buffer.getvalue()


def polyglot(rng: random.Random) -> bytes:
    """A picture that is something else as well."""
    good = picture(rng.choice(FORMATS))
    script, page = b"<script>alert(document.domain)</script>", b"<!doctype html><body onload=alert(1)>"
    jpeg, other = picture("JPEG"), rng.choice((zipped(), script, ENTITIES % LAUGHS, POSTSCRIPT, bytes(10**6)))
    ways = (
        good + other,
        other + good,
        png(chunk(b"tEXt", b"Comment\0" + script + other[:60_000]), idat()),
        jpeg[:2] + segment(0xFE, page + b"<!--") + jpeg[2:] + b"--></body>",
        b"GIF89a/*" + good + b"*/=1;alert(1)",
        b"%PDF-1.7\n" + jpeg,
        b"BM" + good,
        picture("PNG") + picture("JPEG") + picture("WEBP"),
    )
    return rng.choice(ways)


def nested(rng: random.Random) -> bytes:
    """Base64 or a data: URL as the file's content, up to five times over."""
    data = picture(rng.choice(FORMATS))
    for _ in range(rng.randrange(1, 6)):
        head = rng.choice((b"", b"data:image/png;base64,", b"data:,", b"data:text/html,"))
        data = head + base64.b64encode(data)
    return data


MAKERS: tuple[Maker, ...] = (
    *(truncated, bits_flipped, overwritten, spliced, nearly_nothing, unusual, of_another_kind, polyglot, nested),
    *(png_bomb, png_giant, png_impossible, png_chunk, png_checksum, png_animated),
    *(jpeg_giant, jpeg_segment, jpeg_scans, webp_lies, webp_lossless_giant, webp_animated),
)
