"""Image sides: the config allows exactly those that the networks and the judge can have."""

import pytest
import torch

from diffusegae.config.model import EncoderConfig, ModelConfig, UNetConfig
from diffusegae.config.pipeline import JUDGED_SIDE, JUDGED_STEP
from diffusegae.metrics.classifier import AttributeClassifier, ClassifierError
from diffusegae.models.encoder import AlterResNet
from diffusegae.models.unet import UNet

ENCODER = EncoderConfig(stem_width=8, widths=(8, 8, 8), blocks=(1, 2, 2), attentions=(0, 1, 1), head_width=4, window=4)
UNET = UNetConfig(base_width=8, multipliers=(1, 1), num_res_blocks=1, embedding_width=8, head_width=4)


@pytest.mark.parametrize("pooling", ["mean", "flatten"])
@pytest.mark.parametrize("factor", [1, 2])
def test_the_networks_take_a_side_just_where_the_config_says_so(factor: int, pooling: str) -> None:
    for side in range(16, 98, 2):
        encoder = ENCODER.model_copy(update={"pooling": pooling})
        config = ModelConfig(image_size=side, pixel_unshuffle=factor, z_sem_width=6, encoder=encoder, unet=UNET)
        x = torch.zeros(1, 3, side, side)
        try:
            z = AlterResNet(config)(x)
            runs = UNet(config)(x, torch.zeros(1), z).shape == x.shape
        except (RuntimeError, ValueError):
            runs = False
        assert runs == config.takes(side), side


@pytest.mark.parametrize("side", [16, 24, 32, 40, 48])
def test_the_judge_takes_the_sides_that_the_config_allows(side: int) -> None:
    try:
        AttributeClassifier(side, (2, 2))
        taken = True
    except ClassifierError:
        taken = False
    assert taken == (side >= JUDGED_SIDE and side % JUDGED_STEP == 0)
