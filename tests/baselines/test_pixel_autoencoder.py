"""The auto-encoder of pixels: its published form, independence of the batch; the method that edits with it."""

import pytest
import torch
from torch import nn

from diffusegae.baselines.pixel_autoencoder import PixelAutoEncoder, PixelAutoEncoderError, lowest_side
from diffusegae.baselines.pixel_method import PixelAutoEncoderMethod
from diffusegae.config.baselines import GzsNetConfig
from diffusegae.editing.method import Method
from diffusegae.schema import SchemaError
from tests.tiny import random_images, tiny_schema

SCHEMA = tiny_schema(8, 8, 8)
TINY = GzsNetConfig(widths=(8, 16, 16), hidden_width=32)


def tiny_autoencoder() -> PixelAutoEncoder:
    torch.manual_seed(0)
    return PixelAutoEncoder(TINY, 32, SCHEMA.widths)


@pytest.fixture(scope="module")
def method() -> PixelAutoEncoderMethod:
    return PixelAutoEncoderMethod(tiny_autoencoder(), SCHEMA, 32)


def test_has_the_published_form_at_128_pixels() -> None:
    """Facts §5: 128 -> 8 x 8 by four strided convolutions, 16384 -> 4096 -> 100, and the mirror of it."""
    with torch.device("meta"):
        autoencoder = PixelAutoEncoder(GzsNetConfig(), 128, (60, 20, 20))
    linear = [(m.in_features, m.out_features) for m in autoencoder.modules() if isinstance(m, nn.Linear)]
    assert linear == [(16384, 4096), (4096, 100), (100, 4096), (4096, 16384)]
    down = [m.out_channels for m in autoencoder.encoder.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    up = [m.out_channels for m in autoencoder.decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert down == [128, 256, 256, 256]
    assert up == [256, 256, 128, 64]
    fully_connected = 2 * 16384 * 4096 + 2 * 4096 * 100 + 4096 + 100 + 4096 + 16384
    strided = 2 * 16 * (64 * 128 + 128 * 256 + 2 * 256 * 256)
    norms = 2 * (64 + 128 + 3 * 256) + 2 * (64 + 128 + 2 * 256) + 2 * 2 * 2 * 256
    residuals, ends = 2 * 2 * 9 * 256 * 256, 2 * 49 * 3 * 64
    expected = fully_connected + strided + norms + residuals + ends
    assert sum(p.numel() for p in autoencoder.parameters()) == expected


def test_round_trip_has_the_shapes_and_stays_in_range() -> None:
    autoencoder, images = tiny_autoencoder(), random_images(3)
    codes = autoencoder.encode(images)
    assert codes.shape == (3, 24)
    for decoded in (autoencoder.decode(codes), autoencoder.decode(100 * codes), autoencoder(images)):
        assert decoded.shape == images.shape
        assert float(decoded.detach().abs().max()) <= 1


def test_eval_mode_changes_nothing_and_nothing_is_kept_of_a_batch() -> None:
    """Running statistics broke the published networks in eval mode."""
    autoencoder, images = tiny_autoencoder(), random_images(3)
    torch.testing.assert_close(autoencoder.train()(images), autoencoder.eval()(images), atol=0, rtol=0)
    assert not list(autoencoder.buffers())


@pytest.mark.parametrize("image_size", [8, 20, 30])
def test_an_image_that_cannot_be_halved_so_often_is_refused(image_size: int) -> None:
    with pytest.raises(PixelAutoEncoderError, match=rf"image_size is {image_size}.*multiple of 8 from 16 up.*widths"):
        lowest_side((4, 4, 4, 4), image_size)


def test_the_smallest_image_that_is_allowed_works() -> None:
    autoencoder = PixelAutoEncoder(GzsNetConfig(widths=(4, 4, 4, 4), hidden_width=8), 16, (2, 4))
    assert autoencoder(random_images(1, size=16)).shape == (1, 3, 16, 16)


def test_satisfies_the_protocol(method: PixelAutoEncoderMethod) -> None:
    assert isinstance(method, Method)
    assert method.image_size == 32
    assert method.parts == (slice(0, 8), slice(8, 16), slice(16, 24))
    assert not method.autoencoder.training


def test_taking_attributes_from_oneself_is_the_reconstruction(method: PixelAutoEncoderMethod) -> None:
    images = random_images(2)
    for donors in ({}, {"b": images}, {name: images for name in SCHEMA.names}):
        assert torch.equal(method.edit(images, donors), method.reconstruct(images))


@pytest.mark.parametrize("name", SCHEMA.names)
def test_an_edit_takes_the_named_part_and_no_other(method: PixelAutoEncoderMethod, name: str) -> None:
    source, donor = random_images(2), random_images(2, seed=1)
    codes, part = method.encode(source).clone(), SCHEMA.slice_of(name)
    codes[:, part] = method.encode(donor)[:, part]
    edited = method.edit(source, {name: donor})
    assert torch.equal(edited, method.decode(codes, [0, 1]))
    assert not torch.allclose(edited, method.reconstruct(source), atol=1e-3)


def test_an_edit_of_all_attributes_is_the_donor(method: PixelAutoEncoderMethod) -> None:
    source, donor = random_images(2), random_images(2, seed=1)
    assert torch.equal(method.edit(source, {name: donor for name in SCHEMA.names}), method.reconstruct(donor))


def test_an_unknown_attribute_is_named(method: PixelAutoEncoderMethod) -> None:
    with pytest.raises(SchemaError, match="unknown attribute 'wheels'"):
        method.edit(random_images(1), {"wheels": random_images(1)})


def test_recombination_takes_each_part_from_its_donor(method: PixelAutoEncoderMethod) -> None:
    donors = {name: random_images(2, seed=seed) for seed, name in enumerate(SCHEMA.names)}
    codes = torch.cat([method.encode(donors[name])[:, SCHEMA.slice_of(name)] for name in SCHEMA.names], dim=1)
    assert torch.equal(method.recombine(donors, [7, 8]), method.decode(codes, [7, 8]))


def test_seeds_leave_nothing_to_decide(method: PixelAutoEncoderMethod) -> None:
    images = random_images(2)
    assert torch.equal(method.reconstruct(images, [1, 2]), method.reconstruct(images))
    codes = method.encode(images)
    assert torch.equal(method.decode(codes, [1, 2]), method.decode(codes, [3, 4]))


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_interpolation_goes_from_the_source_to_the_edit(method: PixelAutoEncoderMethod, names: list[str]) -> None:
    source, target = random_images(2), random_images(2, seed=1)
    frames = method.interpolate(source, target, names, frames=3)
    assert torch.equal(frames[0], method.reconstruct(source))
    torch.testing.assert_close(frames[2], method.edit(source, {name: target for name in names}))
    start, end = method.encode(source), method.encode(target)
    middle, part = start.clone(), slice(0, 8 * len(names))
    middle[:, part] = (start[:, part] + end[:, part]) / 2
    torch.testing.assert_close(frames[1], method.decode(middle, [0, 0]), atol=1e-5, rtol=0)


def test_a_result_does_not_depend_on_its_batch(method: PixelAutoEncoderMethod) -> None:
    source, donor = random_images(5), random_images(5, seed=1)
    together, alone = method.edit(source, {"a": donor}), method.edit(source[1:2], {"a": donor[1:2]})
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)
