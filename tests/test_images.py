"""Pixels: ranges and layouts there and back, encodings, centre crops, grids, and bytes that are no picture."""

import io

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from diffusegae.images import (
    Encoding,
    ImageError,
    decode_batch,
    decode_image,
    encode_image,
    label_grid,
    make_grid,
    normalise,
    to_pixels,
    to_tensor,
    to_unit,
)


def make_pixels(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_every_level_survives_the_way_to_tensors_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    tensor = to_tensor(pixels)
    assert tensor.shape == (3, 16, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min().item(), tensor.max().item()) == (-1.0, 1.0)
    assert np.array_equal(to_pixels(tensor), pixels)


def test_batches_keep_their_channels() -> None:
    pixels = np.stack([make_pixels(4, 6, seed) for seed in range(2)])
    tensor = to_tensor(pixels)
    assert tensor.shape == (2, 3, 4, 6)
    assert tensor[1, 2, 3, 5].item() == pytest.approx(pixels[1, 3, 5, 2] / 127.5 - 1)
    assert np.array_equal(to_pixels(tensor), pixels)


def test_what_lies_outside_the_range_is_clamped() -> None:
    tensor = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).expand(3, 1, 5).contiguous()
    assert to_pixels(tensor)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert to_unit(tensor)[0, 0].tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_png_is_lossless() -> None:
    pixels = make_pixels(32, 32)
    assert np.array_equal(decode_image(encode_image(pixels, "png")), pixels)


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_lossy_encodings_are_what_they_say_and_near(encoding: Encoding) -> None:
    pixels = np.full((32, 32, 3), (200, 60, 90), np.uint8)
    data = encode_image(pixels, encoding, quality=95)
    assert Image.open(io.BytesIO(data)).format == encoding.upper()
    assert np.abs(decode_image(data).astype(int) - pixels).max() < 8


def test_decoding_crops_the_centre_and_resizes() -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = 200
    assert np.all(decode_image(encode_image(pixels), size=4) == 200)
    assert np.all(decode_image(encode_image(pixels.transpose(1, 0, 2).copy()), size=4) == 200)


def test_decoding_at_the_right_size_changes_nothing() -> None:
    pixels = make_pixels(16, 16)
    assert np.array_equal(decode_image(encode_image(pixels), size=16), pixels)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_other_modes_become_rgb(mode: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(make_pixels(8, 8)).convert(mode).save(buffer, format="PNG")
    assert decode_image(buffer.getvalue()).shape == (8, 8, 3)


@pytest.mark.parametrize("damage", ["no picture", "cut", "empty", "bmp"])
def test_bytes_that_are_no_picture_are_named(damage: str) -> None:
    data = encode_image(make_pixels(32, 32))
    buffer = io.BytesIO()
    Image.fromarray(make_pixels(8, 8)).save(buffer, format="BMP")
    content = {"no picture": b"no picture", "cut": data[: len(data) // 2], "empty": b"", "bmp": buffer.getvalue()}[
        damage
    ]
    with pytest.raises(ImageError, match=f"^{len(content)} bytes that do not decode as PNG, JPEG, WEBP"):
        decode_image(content)


def test_batches_are_decoded_in_order() -> None:
    pixels = np.stack([make_pixels(8, 8, seed) for seed in range(5)])
    assert np.array_equal(decode_batch([encode_image(picture) for picture in pixels], size=8), pixels)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_any_number_of_threads_decodes_the_same(threads: int) -> None:
    encoded = [encode_image(make_pixels(16, 16, seed), "jpeg") for seed in range(5)]
    assert np.array_equal(decode_batch(encoded, 16, threads), decode_batch(encoded, 16))
    assert decode_batch([], 16, threads).shape == (0, 16, 16, 3)


def test_a_bad_image_of_a_batch_is_told_from_any_thread() -> None:
    encoded = [encode_image(make_pixels(16, 16, seed), "jpeg") for seed in range(4)]
    with pytest.raises(ValueError, match="JPEG"):
        decode_batch([*encoded, encoded[0][:300]], 16, threads=2)


@pytest.mark.parametrize(
    "options",
    [{}, {"quality": 30}, {"progressive": True}, {"subsampling": 0}, {"comment": "a note"}, {"dpi": (72, 72)},
     {"restart_marker_rows": 1}, {"keep_rgb": True}],
    ids=str,
)  # fmt: skip
def test_every_jpeg_is_decoded_as_pillow_decodes_it(options: dict[str, object]) -> None:
    smooth = Image.fromarray(make_pixels(6, 6)).resize((48, 48))
    buffer = io.BytesIO()
    smooth.save(buffer, format="JPEG", **options)
    data = buffer.getvalue()
    assert np.array_equal(decode_batch([data], 48)[0], np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("size", [(20, 16), (16, 20), (8, 8), (64, 64)])
@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_a_picture_of_another_size_is_refused(size: tuple[int, int], encoding: Encoding) -> None:
    with pytest.raises(ValueError, match=r"among pictures of|could not broadcast|too small"):
        decode_batch([encode_image(make_pixels(*size), encoding)], 16)


@pytest.mark.parametrize("channels_last", [False, True])
def test_pixels_are_normalised_on_a_device_to_the_bit_as_numpy_does(channels_last: bool) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    pixels = np.concatenate([levels, make_pixels(16, 16)[None]])
    values = normalise(torch.from_numpy(pixels), channels_last)
    assert torch.equal(values, to_tensor(pixels))
    assert values.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    exact = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - np.float32(1)
    assert np.array_equal(values.numpy(), exact)


def test_grid_holds_each_picture_in_its_place() -> None:
    pixels = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 30)])
    grid = make_grid(pixels, columns=2, scale=2, gap=1)
    assert grid.shape == (1 + 2 * 9, 1 + 2 * 9, 3)
    assert np.all(grid[1:9, 1:9] == 10)
    assert np.all(grid[1:9, 10:18] == 20)
    assert np.all(grid[10:18, 1:9] == 30)
    assert np.all(grid[10:18, 10:18] == 255)


def test_captions_stand_above_an_unchanged_grid() -> None:
    grid = make_grid(np.zeros((2, 40, 40, 3), np.uint8), columns=2)
    labelled = label_grid(grid, ["left", "right"], title="two")
    assert labelled.shape[1] == grid.shape[1]
    band = labelled.shape[0] - grid.shape[0]
    assert np.array_equal(labelled[band:], grid)
    assert labelled[:band].min() < 128
