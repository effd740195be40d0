"""The conditional UNet: shapes, conditioning, position maps."""

import pytest
import torch

from diffusegae.config.load import load_config
from diffusegae.config.model import ModelConfig, UNetConfig
from diffusegae.models.layers import AdaGN, SelfAttention, group_norm
from diffusegae.models.unet import Canvas, UNet, levels_of
from tests.tiny import PRESETS


def make(**changes: object) -> UNet:
    widths = {"base_width": 8, "head_width": 8, "embedding_width": 16, "multipliers": (1, 2)}
    unet = UNetConfig.model_validate(
        {**widths, "num_res_blocks": 1, "attention_resolutions": (8,), "dropout": 0.0, **changes}
    )
    torch.manual_seed(0)
    model = UNet(ModelConfig(image_size=16, z_sem_width=12, unet=unet)).eval()
    torch.nn.init.normal_(model.head.weight, std=0.1)
    return model


def test_adagn_is_eq_8() -> None:
    layer = AdaGN(8, 4, z_shift=True)
    h, t, z = torch.randn(2, 8, 3, 3), torch.randn(2, 4), torch.randn(2, 4)
    t_s, t_b = layer.from_t(t)[..., None, None].chunk(2, dim=1)
    z_s, z_b = layer.from_z(z)[..., None, None].chunk(2, dim=1)
    expected = (1 + z_s) * ((1 + t_s) * layer.norm(h) + t_b) + z_b
    torch.testing.assert_close(layer(h, t, z), expected)


def test_adagn_without_shift_only_scales() -> None:
    layer = AdaGN(8, 4, z_shift=False)
    assert layer.from_z.out_features == 8
    h, t, z = torch.randn(2, 8, 3, 3), torch.randn(2, 4), torch.randn(2, 4)
    t_s, t_b = layer.from_t(t)[..., None, None].chunk(2, dim=1)
    torch.testing.assert_close(
        layer(h, t, z), (1 + layer.from_z(z)[..., None, None]) * ((1 + t_s) * layer.norm(h) + t_b)
    )


@pytest.mark.parametrize(("channels", "groups"), [(512, 32), (64, 16), (48, 8), (12, 2), (3, 1)])
def test_group_norm_divides_any_width(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


@pytest.mark.parametrize("switches", [{}, {"positions": True}, {"canvas": True}, {"positions": True, "canvas": True}])
def test_predicts_an_image_that_depends_on_all_inputs(switches: dict[str, bool]) -> None:
    model = make(**switches)
    x, t, z = torch.randn(2, 3, 16, 16), torch.tensor([10, 900]), torch.randn(2, 12)
    prediction = model(x, t, z)
    assert prediction.shape == x.shape
    # the last convolutions of residual blocks start at zero, so conditions reach the output only once they moved
    for module in model.modules():
        if hasattr(module, "conv_out"):
            torch.nn.init.normal_(module.conv_out.weight, std=0.1)
    prediction = model(x, t, z)
    assert not torch.allclose(model(x, t + 50, z), prediction, atol=1e-4)
    assert not torch.allclose(model(x, t, z + 1), prediction, atol=1e-4)
    assert not torch.allclose(model(x + 1, t, z), prediction, atol=1e-4)


def test_gain_scales_z_on_its_way_in() -> None:
    x_t, t, z = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 700.0]), torch.randn(2, 12)
    plain, gained = make(canvas=True), make(canvas=True, z_gain=5.0)
    torch.testing.assert_close(gained(x_t, t, z), plain(x_t, t, 5 * z))
    assert not torch.allclose(gained(x_t, t, z), plain(x_t, t, z))


def test_condition_is_of_z_alone_and_has_a_canvas_where_the_config_says_so() -> None:
    model, z = make(canvas=True), torch.randn(3, 12)
    style, canvas = model.condition(z)
    assert canvas is not None
    assert canvas.shape == (3, 3, 16, 16)
    assert style.shape == (3, 16)
    torch.testing.assert_close(model.condition(z[1:2]).canvas, canvas[1:2])
    assert not torch.allclose(canvas[0], canvas[1], atol=1e-3)
    assert make().condition(z).canvas is None


@pytest.mark.parametrize(("side", "start"), [(16, 4), (48, 6), (20, 5), (6, 6)])
def test_the_canvas_fits_any_side(side: int, start: int) -> None:
    canvas = Canvas(16, (12, side, side))
    assert canvas(torch.randn(2, 16)).shape == (2, 12, side, side)
    assert canvas.compose[1](canvas.compose[0](torch.randn(2, 16))).shape[2:] == (start, start)


def test_the_unet_sees_its_canvas() -> None:
    model, x_t, t, z = make(canvas=True), torch.randn(1, 3, 16, 16), torch.tensor([40]), torch.randn(1, 12)
    before = model(x_t, t, z)
    assert model.canvas is not None
    with torch.no_grad():
        model.canvas.superpose.bias.add_(torch.randn_like(model.canvas.superpose.bias))
    assert not torch.allclose(model(x_t, t, z), before, atol=1e-3)


def test_a_silent_unet_with_a_canvas_is_the_denoiser_of_a_normal_distribution_around_it() -> None:
    model, x_t, z = make(canvas=True), torch.randn(2, 3, 16, 16), torch.randn(2, 12)
    alpha_bar, spread = 0.4, 0.3  # x_0 ~ N(canvas, spread^2), seen through noise
    gain = alpha_bar**0.5 * spread**2 / (alpha_bar * spread**2 + 1 - alpha_bar)
    canvas = model.condition(z).canvas
    assert model.canvas is not None
    assert canvas is not None
    with torch.no_grad():
        torch.nn.init.zeros_(model.head.weight)
        model.canvas.weights.bias.copy_(torch.tensor([gain, 1 - gain * alpha_bar**0.5]).repeat_interleave(3))
    x_0_mean = canvas + gain * (x_t - alpha_bar**0.5 * canvas)
    torch.testing.assert_close(model(x_t, torch.tensor([300, 300]), z), x_0_mean)


@pytest.mark.parametrize("sides", [(), (16,), (8,)])
def test_the_middle_always_attends(sides: tuple[int, ...]) -> None:
    model = make(attention_resolutions=sides)  # feature sides 16 and 8
    assert [isinstance(level.attention, SelfAttention) for level in model.middle] == [True, False]
    assert [isinstance(model.down[block].attention, SelfAttention) for block in (0, 2)] == [16 in sides, 8 in sides]


@pytest.mark.parametrize("preset", ["quick", "mini", "smoke", "vehicles64"])
def test_presets_list_their_lowest_side(preset: str) -> None:
    """So that weights from before the middle always attended still fit."""
    config = load_config(preset, [], PRESETS).model
    assert levels_of(config)[1][-1] in config.unet.attention_resolutions


def test_loads_a_canvas_decoder_by_the_numbers_of_its_layers() -> None:
    """Checkpoints of before must load: 2 + 4 i is the norm, 5 + 4 i the convolution of each doubling."""
    names = {int(name.split(".")[0]) for name in Canvas(16, (12, 16, 16)).compose.state_dict()}
    assert names == {0, 2, 5, 6, 9, 10, 12}


def test_untrained_network_predicts_zero() -> None:
    model = UNet(ModelConfig(image_size=16, z_sem_width=12, unet=UNetConfig(base_width=8, multipliers=(1, 2))))
    assert not model(torch.randn(1, 3, 16, 16), torch.tensor([5]), torch.randn(1, 12)).any()


def test_runs_under_bfloat16_autocast() -> None:
    model = make()
    x, t, z = torch.randn(2, 3, 16, 16), torch.tensor([10, 900]), torch.randn(2, 12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model(x, t, z)
    torch.testing.assert_close(prediction.float(), model(x, t, z), atol=0.1, rtol=0.1)
