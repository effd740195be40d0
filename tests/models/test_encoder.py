"""Alter-ResNet: the block rule, windows, shapes."""

import pytest
import torch

from diffusegae.config.model import EncoderConfig, ModelConfig
from diffusegae.models.encoder import AlterResNet, ConvBlock, WindowAttentionBlock, relative_positions, stage_pattern


@pytest.mark.parametrize(
    ("blocks", "attentions", "pattern"), [(3, 0, "CCC"), (4, 1, "CCCM"), (6, 3, "CMCMCM"), (4, 2, "CMCM")]
)
def test_stage_pattern_is_alternets_50(blocks: int, attentions: int, pattern: str) -> None:
    assert stage_pattern(blocks, attentions) == pattern


def test_blocks_stand_in_the_order_of_the_rule() -> None:
    config = ModelConfig(
        image_size=32, encoder=EncoderConfig(stem_width=8, widths=(8, 16), blocks=(2, 3), attentions=(0, 1))
    )
    kinds = [type(block) for block in AlterResNet(config).stages]
    assert [kind for kind in kinds if kind in (ConvBlock, WindowAttentionBlock)] == [
        ConvBlock,
        ConvBlock,
        ConvBlock,
        ConvBlock,
        WindowAttentionBlock,
    ]


def test_relative_positions_are_equal_for_equal_offsets() -> None:
    table = relative_positions(3)
    assert table.shape == (9, 9)
    assert table[0, 1] == table[3, 4] == table[7, 8]
    assert len(table.unique()) == 25


def test_attention_stays_inside_its_window() -> None:
    block = WindowAttentionBlock(8, 8, 4, window=4)
    torch.nn.init.normal_(block.out.weight)
    x = torch.randn(1, 8, 8, 8)
    changed = x.clone()
    changed[:, :, 6, 6] += 1.0
    # group norm sees the whole map; its statistics must be held fixed to see the window alone
    block.norm_in, block.norm_inner = torch.nn.Identity(), torch.nn.Identity()
    difference = (block(changed) - block(x)).abs().sum(dim=1)[0]
    assert difference[4:, 4:].min() > 0
    assert difference[:4].max() == 0
    assert difference[:, :4].max() == 0


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_encodes_images_of_any_batch_to_z_sem(factor: int) -> None:
    encoder = EncoderConfig(stem_width=8, widths=(8, 16), blocks=(1, 2), attentions=(0, 1), head_width=4)
    model = AlterResNet(ModelConfig(image_size=32, pixel_unshuffle=factor, z_sem_width=24, encoder=encoder)).eval()
    images = torch.randn(3, 3, 32, 32)
    z = model(images)
    assert z.shape == (3, 24)
    torch.testing.assert_close(model(images[1:2]), z[1:2], atol=1e-5, rtol=1e-4)


def test_flattened_features_tell_places_apart_where_their_mean_cannot() -> None:
    small = {"stem_width": 8, "widths": (8, 16), "blocks": (1, 2), "attentions": (0, 0)}
    for pooling, inputs in (("mean", 16), ("flatten", 16 * 8 * 8)):
        encoder = EncoderConfig.model_validate({**small, "pooling": pooling})
        model = AlterResNet(ModelConfig(image_size=16, z_sem_width=12, encoder=encoder)).eval()
        assert model.head.in_features == inputs
        # without convolutions the features of a shifted image are the shifted features
        model.stages = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 1, stride=2))
        model.stem = torch.nn.Conv2d(3, 8, 1)
        images = torch.randn(2, 3, 16, 16)
        same = torch.allclose(model(images), model(images.roll(4, dims=3)), atol=1e-5)
        assert same == (pooling == "mean")
