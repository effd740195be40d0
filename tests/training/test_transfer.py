"""The way of a batch to the device: what arrives, how it lies there, and on a CPU that nothing is copied twice."""

import numpy as np
import pytest
import torch

from diffusegae.pixels import normalise, to_tensor
from diffusegae.training.transfer import Transfer

CPU, META = torch.device("cpu"), torch.device("meta")
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), np.uint8)
LATENTS = np.random.default_rng(1).standard_normal((6, 32)).astype(np.float32)
LABELS = np.arange(18, dtype=np.int64).reshape(6, 3)


@pytest.mark.parametrize("channels_last", [False, True])
def test_pixels_latents_and_labels_arrive(channels_last: bool) -> None:
    images, z, labels = Transfer(CPU, channels_last).send([PIXELS, LATENTS, LABELS]).receive()
    assert torch.equal(images, to_tensor(PIXELS))
    assert torch.equal(images, normalise(torch.from_numpy(PIXELS), channels_last))
    assert z.data_ptr() == LATENTS.ctypes.data
    assert (labels.dtype, labels.tolist()) == (torch.int64, LABELS.tolist())


@pytest.mark.parametrize("channels_last", [False, True])
def test_another_device_is_sent_bytes_and_makes_planes_of_them(
    channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way that a GPU's batches take, less its streams."""
    sent: list[torch.dtype] = []
    move = torch.Tensor.to

    def spy(tensor: torch.Tensor, *arguments: object, **options: object) -> torch.Tensor:
        if tensor.device == CPU:
            sent.append(tensor.dtype)
        return move(tensor, *arguments, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(torch.Tensor, "to", spy)
    images, labels = Transfer(META, channels_last).send([PIXELS, LABELS]).receive()
    assert sent == [torch.uint8, torch.int64]
    assert (images.device, images.dtype, images.shape) == (META, torch.float32, (6, 3, 8, 10))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert images.is_contiguous(memory_format=layout)
    assert images.unflatten(0, (2, 3)).flatten(0, 1).is_contiguous(memory_format=layout)
    assert (labels.device, labels.shape) == (META, (6, 3))
