import io

import numpy as np
import pytest
from PIL import Image

from diffusegae.images import decode_image
from serve.http.pictures import as_answer, as_file, as_texts, resize
from serve.tasks import Format, GeneratedImages, Pictures, Presentation

RNG = np.random.default_rng(0)


@pytest.fixture
def pictures() -> Pictures:
    """Three smooth pictures, so that lossy encodings stay close."""
    ramp = np.linspace(0, 255, 32)
    planes = [np.add.outer(ramp * weight, ramp * (1 - weight)) for weight in (0.2, 0.5, 0.8)]
    return np.stack([np.stack([plane, plane[::-1], plane[:, ::-1]], axis=-1) for plane in planes]).astype(np.uint8)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(("encoding", "tolerance"), [("png", 0), ("jpeg", 4), ("webp", 4)])
def test_still_formats_show_pictures_side_by_side(pictures: Pictures, encoding: Format, tolerance: int) -> None:
    data = as_file(pictures, Presentation(encoding))
    assert opened(data).format == encoding.upper()
    strip = decode_image(data)
    assert strip.shape == (32, 96, 3)
    difference = np.abs(strip.astype(int) - np.concatenate(list(pictures), axis=1).astype(int))
    assert difference.mean() <= tolerance


@pytest.mark.parametrize(("encoding", "kind"), [("apng", "PNG"), ("gif", "GIF")])
def test_animations_have_all_frames_and_their_time(pictures: Pictures, encoding: Format, kind: str) -> None:
    image = opened(as_file(pictures, Presentation(encoding, size=64, seconds=0.25)))
    assert (image.format, image.size, image.n_frames, image.info["loop"]) == (kind, (64, 64), 3, 0)
    for number, expected in enumerate(resize(pictures, 64)):
        image.seek(number)
        assert image.info["duration"] == 250
        difference = np.abs(np.asarray(image.convert("RGB")).astype(int) - expected.astype(int))
        assert difference.max() == 0 if encoding == "apng" else difference.mean() < 8


def test_frames_that_are_equal_still_make_an_animation() -> None:
    same = np.zeros((3, 16, 16, 3), np.uint8)
    for encoding in ("apng", "gif"):
        data = as_file(same, Presentation(encoding))
        assert (np.asarray(opened(data).convert("RGB")) == 0).all()


def test_a_size_is_lanczos_of_the_pixels(pictures: Pictures) -> None:
    expected = Image.fromarray(pictures[0]).resize((80, 80), Image.Resampling.LANCZOS)
    assert (resize(pictures, 80)[0] == np.asarray(expected)).all()
    assert resize(pictures, None) is pictures
    assert resize(pictures, 32) is pictures
    assert decode_image(as_file(pictures, Presentation(size=20))).shape == (20, 60, 3)


def test_answers_hold_each_picture(pictures: Pictures) -> None:
    answer = as_answer(GeneratedImages(pictures, "m/1"), Presentation("apng", size=16))
    assert (answer.format, answer.model, len(answer.images)) == ("png", "m/1", 3)
    assert answer.images == as_texts(pictures, "png", 16)
