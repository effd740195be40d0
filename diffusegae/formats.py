"""File formats by their first bytes: which are read, what the others are called, and why a file is no picture."""

from PIL import features

# The plugins of Pillow that decode by themselves, without a program beside it (as EPS needs one), and hold pictures.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
DAMAGED, TOO_LARGE, NOT_READ = "image does not decode", "image of too many pixels", "format not read"

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"PK\x03\x04": "zip archive",
    b"version https://git-lfs": "Git LFS pointer",
}
_MARKUP = {b"<svg": "SVG", b"<html": "HTML", b"<!doctype html": "HTML"}
_MARKUP_BYTES = 1024


class ImageError(ValueError):
    """Bytes that are no picture, or none that is read; `reason` says why in few words, which ingest counts."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[1])


def format_of(data: bytes) -> str:
    """Name the format of a file by its first bytes, as Pillow does where it reads it; "" if it is unknown."""
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _container_format(data)
    head = data[:_MARKUP_BYTES].lower()
    return next((name for start, name in _MARKUP.items() if start in head), "")


def require_format(data: bytes, formats: tuple[str, ...]) -> str:
    """Return the format of a file.

    Raises:
        ImageError: it is unknown, not among `formats`, or one that this build of Pillow lacks.
    """
    found = format_of(data)
    if found in formats and (found != "AVIF" or features.check("avif")):
        return found
    if not found:
        detail = f"{len(data)} bytes that begin as no picture does; expected one of: {', '.join(formats)}"
        raise ImageError(DAMAGED, detail)
    remedy = f"convert it to one of these: {', '.join(formats)}"
    raise ImageError(f"{NOT_READ}: {found}", f"a {found} file; {remedy}")


def _container_format(data: bytes) -> str:
    """Tell apart what shares a container by its brands (ISO 14496-12 §4.3): AVIF, HEIC, or films."""
    brands = data[8 : min(int.from_bytes(data[:4], "big"), _MARKUP_BYTES)]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    return "HEIC" if brands[:4] in (b"mif1", b"msf1") or brands[:3] in (b"hei", b"hev") else "film"
