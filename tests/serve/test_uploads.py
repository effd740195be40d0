import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffusegae.images import decode_image
from serve.problems import Problem
from serve.uploads import TURNS, read_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
MAX = 10_000


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def oriented(orientation: int, kind: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    square = Image.fromarray(PIXELS[:, :40])
    return saved(square, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
@pytest.mark.parametrize("size", [(60, 40), (41, 60), (32, 32), (1, 7)])
def test_is_what_training_reads(mode: str, size: tuple[int, int]) -> None:
    data = saved(Image.fromarray(PIXELS).resize(size).convert(mode))
    assert (read_picture("source", data, 32, MAX) == decode_image(data, 32)).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(9))
def test_pictures_stand_upright(orientation: int, kind: str) -> None:
    from PIL import ImageOps

    data = oriented(orientation, kind)
    with Image.open(io.BytesIO(data)) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    assert (read_picture("source", data, 40, MAX) == expected).all()
    assert len(TURNS) == 7


def test_damaged_exif_data_says_nothing() -> None:
    data = saved(Image.fromarray(PIXELS[:, :40]), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert (read_picture("source", data, 40, MAX) == PIXELS[:, :40]).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    red, green, blue = read_picture("source", data, 16, MAX).reshape(-1, 3).mean(axis=0)
    assert (red > 250, green < 5, blue < 5) == (True, True, True)


def test_sixteen_bits_become_eight() -> None:
    grey = np.linspace(0, 65535, 16 * 16).astype(np.uint16).reshape(16, 16)
    pixels = read_picture("source", saved(Image.fromarray(grey)), 16, MAX)
    assert (pixels[..., 0] == grey >> 8).all()


def test_the_header_is_counted_first() -> None:
    flat = saved(Image.new("1", (30_000, 30_000)))
    for data, words in ((flat, "pixels"), (saved(Image.new("L", (101, 100))), "101 x 100")):
        with pytest.raises(Problem, match=words) as caught:
            read_picture("source", data, 32, MAX)
        assert caught.value.details.status == 413


@pytest.mark.parametrize(
    "data", [b"", b"x", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", saved(Image.fromarray(PIXELS))[:900]]
)
def test_what_does_not_decode_is_named(data: bytes) -> None:
    with pytest.raises(Problem, match=r"donors\.letter: \d+ bytes that do not decode as PNG, JPEG, WEBP") as caught:
        read_picture("donors.letter", data, 32, MAX)
    assert caught.value.details.status == 422


@pytest.mark.parametrize(
    "error", [MemoryError(), OverflowError(), RuntimeWarning(), KeyError("x"), ZeroDivisionError()]
)
def test_whatever_a_decoder_raises_is_a_reason(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(Problem, match="do not decode"):
        read_picture("source", b"x", 32, MAX)
