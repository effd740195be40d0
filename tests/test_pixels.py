"""Pixels: ranges and layouts there and back."""

import numpy as np
import pytest
import torch

from diffusegae.pixels import normalise, to_pixels, to_tensor, to_unit
from tests.test_images import make_pixels


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


@pytest.mark.parametrize("channels_last", [False, True])
def test_pixels_are_normalised_on_a_device_to_the_bit_as_numpy_does(channels_last: bool) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    pixels = np.concatenate([levels, make_pixels(16, 16)[None]])
    values = normalise(torch.from_numpy(pixels), channels_last)
    assert torch.equal(values, to_tensor(pixels))
    assert values.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    exact = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - np.float32(1)
    assert np.array_equal(values.numpy(), exact)
