import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffusegae.client import AnswerError, InputError, Picture
from diffusegae.client.pictures import encoded

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def as_bytes(format: str, image: Image.Image | None = None) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, format=format)
    return buffer.getvalue()


def decoded(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_files_and_bytes_go_as_they_are(tmp_path: Path) -> None:
    data = as_bytes("JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    for given in (data, path, str(path), Picture(data, "image/jpeg")):
        assert encoded(given, "source") == data


def test_pixels_and_images_go_as_png() -> None:
    assert (decoded(encoded(PIXELS, "source")) == PIXELS).all()
    assert (decoded(encoded(PIXELS[:, ::-1], "source")) == PIXELS[:, ::-1]).all()
    assert (decoded(encoded(Image.fromarray(PIXELS), "source")) == PIXELS).all()
    grey = Image.fromarray(PIXELS[..., 0])
    assert (decoded(encoded(grey, "source")) == PIXELS[..., 0]).all()


def test_images_keep_what_the_service_needs_to_show_them_right() -> None:
    layers = Image.fromarray(np.dstack([PIXELS, np.full((5, 7), 90, np.uint8)]))
    assert (decoded(encoded(layers, "source")) == np.asarray(layers)).all()
    deep = Image.fromarray(PIXELS[..., 0].astype(np.uint16) << 8)
    assert (decoded(encoded(deep, "source")) == np.asarray(deep)).all()
    few = Image.fromarray(PIXELS).quantize(8)
    few.info["transparency"] = 3
    assert Image.open(io.BytesIO(encoded(few, "source"))).convert("RGBA").getextrema()[3] == (0, 255)
    turned = Image.fromarray(PIXELS)
    turned.getexif()[0x0112] = 6
    assert (decoded(encoded(turned, "source")) == np.rot90(PIXELS, -1)).all()
    assert decoded(encoded(Image.new("CMYK", (3, 3)), "source")).shape == (3, 3, 3)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (PIXELS.astype(np.float32), r"donors.a: float32 pixels \[5, 7, 3\]; expected uint8"),
        (PIXELS[..., 0], r"uint8 pixels \[5, 7\]"),
        (PIXELS[:0], r"\[0, 7, 3\]"),
        (Path("no/such/file.png"), "no/such/file.png cannot be read .No such file"),
        (b"", "donors.a: no bytes are no picture; give a path"),
    ],
)
def test_what_is_no_picture(given: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        encoded(given, "donors.a")


def test_an_answer_has_pixels_and_is_saved_as_it_came(tmp_path: Path) -> None:
    picture = Picture(as_bytes("PNG"), "image/png", "cars/3")
    assert (picture.pixels == PIXELS).all()
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels is picture.pixels
    assert picture.image.size == (7, 5)
    for name in ("a.png", "b.PNG", "c"):
        assert picture.save(tmp_path / name).read_bytes() == picture.data
    assert "cars/3" in repr(picture)
    assert len(repr(picture)) < 100


def test_a_wrong_suffix_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.jpg: the picture is image/png; end the name in .png, or ask"):
        Picture(as_bytes("PNG"), "image/png").save(tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_an_animation_keeps_its_frames() -> None:
    frames = [Image.fromarray(np.full((4, 4, 3), level, np.uint8)) for level in (0, 100, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, format="PNG", save_all=True, append_images=frames[1:])
    animation = Picture(buffer.getvalue(), "image/apng")
    assert getattr(animation.image, "n_frames", 1) == 3
    assert (animation.pixels == 0).all()


def test_bytes_that_do_not_decode_are_the_services_fault() -> None:
    with pytest.raises(AnswerError, match="does not decode"):
        _ = Picture(b"<html>", "image/png").pixels
