import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffusegae.images import Framing, decode_image
from diffusegae.pixels import to_pixels
from serve.http.checks import Checks, Limits
from serve.http.messages import ReconstructRequest
from serve.http.uploads import FORMATS, read_picture
from serve.problems import Problem
from serve.served import ServedModel
from tests.picture_files import FILES, HEIGHT, PictureFile, saved
from tests.serve.hostile_pictures import idat, png

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
CROP, MAX = Framing(), 10_000


@pytest.mark.parametrize("framing", [CROP, Framing("pad", "#204060"), Framing("stretch")])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
@pytest.mark.parametrize("size", [(60, 40), (41, 60), (32, 32), (1, 7)])
def test_is_what_training_reads(mode: str, size: tuple[int, int], framing: Framing) -> None:
    data = saved(Image.fromarray(PIXELS).resize(size).convert(mode), "PNG")
    assert (read_picture("source", data, 32, framing, MAX) == decode_image(data, 32, framing)).all()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_pictures_as_people_have_them_show_what_they_show_or_are_named(file: PictureFile) -> None:
    kind = Image.open(io.BytesIO(file.data)).format or ""
    if kind in FORMATS:
        pixels = read_picture("source", file.data, HEIGHT, CROP, MAX)
        assert np.abs(pixels.astype(int) - file.pixels[:, 4:20]).max() <= file.tolerance
        return
    with pytest.raises(
        Problem, match=f"source: a {kind} file; send a whole picture as one of PNG, JPEG, WEBP"
    ) as caught:
        read_picture("source", file.data, HEIGHT, CROP, MAX)
    assert caught.value.details.status == 422


def test_what_was_used_in_training_is_used_on_uploads(served: ServedModel, limits: Limits) -> None:
    data = saved(PIXELS, "PNG")
    for framing in (CROP, Framing("pad", "#204060"), Framing("stretch")):
        checks = Checks(served.model_copy(update={"framing": framing}), limits)
        task = checks.reconstruct(ReconstructRequest.model_validate({"source": data}, context={"form": True}))
        assert (to_pixels(task.operation.source)[0] == decode_image(data, served.image_size, framing)).all()


def test_the_header_is_counted_first() -> None:
    flat = png(idat(), width=30_000, height=30_000)
    for data, words in ((flat, "pixels"), (saved(Image.new("L", (101, 100)), "PNG"), "101 x 100")):
        with pytest.raises(Problem, match=words) as caught:
            read_picture("source", data, 32, CROP, MAX)
        assert caught.value.details.status == 413


@pytest.mark.parametrize("data", [b"", b"x", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", saved(PIXELS, "PNG")[:900]])
def test_what_does_not_decode_is_named(data: bytes) -> None:
    with pytest.raises(Problem, match=r"donors\.letter: \d+ bytes that do not decode as PNG, JPEG, WEBP") as caught:
        read_picture("donors.letter", data, 32, CROP, MAX)
    assert caught.value.details.status == 422


@pytest.mark.parametrize(
    "error", [MemoryError(), OverflowError(), RuntimeWarning(), KeyError("x"), ZeroDivisionError()]
)
def test_whatever_a_decoder_raises_is_a_reason(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    data = saved(PIXELS, "PNG")
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(Problem, match="do not decode"):
        read_picture("source", data, 32, CROP, MAX)
