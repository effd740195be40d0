"""Diff-AE's encoder: its block, its levels, shapes; and that a config chooses it without touching the default."""

import pytest
import torch
from torch.nn import functional as F

from diffusegae.config.load import load_config
from diffusegae.config.model import EncoderConfig, ModelConfig, UNetConfig
from diffusegae.models.autoencoder import DiffuseGAE, build_encoder
from diffusegae.models.encoder import AlterResNet
from diffusegae.models.half_unet import HalfUNetEncoder, ResidualBlock, encoder_levels
from diffusegae.models.layers import Downsample, SelfAttention
from tests.tiny import PRESETS, random_images, smoke_config, tiny_model, tiny_schema


def make(pooling: str = "mean", **changes: object) -> HalfUNetEncoder:
    small = {"base_width": 8, "multipliers": (1, 2), "num_res_blocks": 1, "attention_resolutions": (16,)}
    unet = UNetConfig.model_validate({**small, "head_width": 8})
    encoder = EncoderConfig.model_validate({"pooling": pooling})
    torch.manual_seed(0)
    config = {"image_size": 32, "z_sem_width": 12, "encoder": encoder, "unet": unet, **changes}
    return HalfUNetEncoder(ModelConfig.model_validate(config)).eval()


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 8), (8, 16)])
def test_a_block_has_one_convolution(inputs: int, outputs: int) -> None:
    block, x = ResidualBlock(inputs, outputs), torch.randn(2, inputs, 4, 4)
    torch.testing.assert_close(block(x), block.skip(x) + block.conv(F.silu(block.norm(x))))
    assert isinstance(block.skip, torch.nn.Conv2d) == (inputs != outputs)


def test_levels_are_the_published_ones_at_128_and_64_pixels() -> None:
    paper = load_config("paper", [], PRESETS).model
    assert encoder_levels(paper) == ([128, 128, 256, 384, 512, 512], [128, 64, 32, 16, 8, 4])
    smaller = ModelConfig(image_size=64, unet=UNetConfig(base_width=64, multipliers=(1, 2, 4, 8)))
    assert encoder_levels(smaller) == ([64, 128, 256, 512, 512], [64, 32, 16, 8, 4])


def test_levels_end_at_4_pixels() -> None:
    assert encoder_levels(smoke_config().model) == ([8, 16], [8, 4])


def test_modules_stand_in_the_order_of_a_half_unet() -> None:
    model = make()  # sides 32, 16 and 8
    assert [type(block) for block in model.down] == [
        ResidualBlock,
        Downsample,
        ResidualBlock,
        SelfAttention,
        Downsample,
        ResidualBlock,
    ]
    assert [type(block) for block in model.middle] == [ResidualBlock, SelfAttention, ResidualBlock]


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("pooling", ["mean", "flatten"])
def test_encodes_images_of_any_batch_to_z_sem(factor: int, pooling: str) -> None:
    model, images = make(pooling, pixel_unshuffle=factor), random_images(3)
    z = model(images)
    assert z.shape == (3, 12)
    torch.testing.assert_close(model(images[1:2]), z[1:2], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(z[0], z[1], atol=1e-3)


@pytest.mark.parametrize(("pooling", "inputs"), [("mean", 16), ("flatten", 16 * 8 * 8)])
def test_the_head_reads_what_the_config_says(pooling: str, inputs: int) -> None:
    assert make(pooling).head.in_features == inputs


def test_a_config_chooses_the_encoder() -> None:
    half = smoke_config("model.encoder.architecture=half_unet")
    assert isinstance(build_encoder(half.model), HalfUNetEncoder)
    assert isinstance(build_encoder(smoke_config().model), AlterResNet)
    model = tiny_model(half, tiny_schema(8, 8, 8))
    assert model.entangle(model.disentangle(model.encode(random_images(2)))).shape == (2, 32)


def test_the_default_model_keeps_the_names_of_its_weights() -> None:
    """Checkpoints of before must load."""
    names = DiffuseGAE(smoke_config().model, tiny_schema(8, 8, 8)).state_dict()
    parts = {".".join(name.split(".")[:2]) for name in names}
    assert {part for part in parts if part.startswith(("encoder", "unet"))} == {
        *(f"encoder.{part}" for part in ("stem", "stages", "norm", "head")),
        *(f"unet.{part}" for part in ("time", "style", "stem", "down", "middle", "up", "norm", "head")),
    }


@pytest.mark.parametrize("overrides", [[], ["model.unet.canvas=true", "model.unet.positions=true"]])
def test_the_unets_way_down_and_way_up_make_its_prediction(overrides: list[str]) -> None:
    unet = tiny_model(smoke_config(*overrides), tiny_schema(8, 8, 8)).unet
    x_t, t, z_sem = random_images(2), torch.tensor([3, 700]), torch.randn(2, 32)
    time, condition = unet.time_embedding(t), unet.condition(z_sem)
    h, skips = unet.go_down(x_t, time, condition)
    assert [skip.shape[1] for skip in skips] == unet.skip_widths
    torch.testing.assert_close(unet.go_up(h, list(skips), x_t, time, condition), unet(x_t, t, z_sem), atol=0, rtol=0)
    # a way up that has nothing to go by but the way down reads all of it
    assert not torch.allclose(unet.go_up(0 * h, list(skips), x_t, time, condition), unet(x_t, t, z_sem), atol=1e-4)
    without = [skips[0], *(0 * skip for skip in skips[1:])]
    assert not torch.allclose(unet.go_up(h, without, x_t, time, condition), unet(x_t, t, z_sem), atol=1e-4)
