"""DiffuseGAE as a whole: parts fit together, sizes are the paper's, weights that are claimed move."""

import copy

import pytest
import torch

from diffusegae.config.load import load_config
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.models.ema import Ema
from diffusegae.schema import SchemaError
from tests.tiny import PRESETS, random_images, smoke_config, tiny_model, tiny_schema


def test_paper_preset_has_the_papers_size() -> None:
    config = load_config("paper", [], PRESETS)
    with torch.device("meta"):
        counts = DiffuseGAE(config.model, tiny_schema(60, 20, 20)).parameter_counts()
    assert config.model.image_size == 128
    assert config.model.z_sem_width == 512
    assert counts == {"encoder": 36_999_390, "unet": 98_538_499, "gae": 70_227_556, "normaliser": 0}


def test_quick_preset_is_small() -> None:
    counts = DiffuseGAE(load_config("quick", [], PRESETS).model, tiny_schema(60, 20, 20)).parameter_counts()
    assert sum(counts.values()) < 15_000_000


def test_road_through_the_model() -> None:
    config, schema = smoke_config(), tiny_schema(8, 8, 8)
    model, images = tiny_model(config, schema), random_images(2)
    z_sem = model.encode(images)
    z_dis = model.disentangle(z_sem)
    assert z_dis.shape == (2, 24)
    assert model.entangle(z_dis).shape == z_sem.shape
    prediction = model.predict(images, torch.tensor([0, 999]), z_sem)
    assert prediction.shape == images.shape
    torch.testing.assert_close(model.predictor(z_sem)(images, torch.tensor([0, 999])), prediction)


def test_widths_that_do_not_add_up_are_named() -> None:
    with pytest.raises(SchemaError, match=r"8 \(a\) \+ 8 \(b\) = 16 do not add up to model.z_dis_width = 24"):
        DiffuseGAE(smoke_config().model, tiny_schema(8, 8))


def test_ema_follows_and_warms_up() -> None:
    model = torch.nn.Linear(2, 2)
    ema = Ema(model, decay=0.9)
    start = copy.deepcopy(model.weight)
    with torch.no_grad():
        model.weight += 1.0
    ema.update(model)
    # the first update's decay is (1 + 1) / (10 + 1)
    torch.testing.assert_close(ema.module.weight, start + (1 - 2 / 11))
    for _ in range(200):
        ema.update(model)
    torch.testing.assert_close(ema.module.weight, model.weight.detach(), atol=1e-4, rtol=0)
    assert not ema.module.weight.requires_grad
