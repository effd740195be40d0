"""The shared blocks against plain formulas: up-sampling, normalisation per image, attention, SiLU."""

import pytest
import torch
from torch.nn import functional as F

from diffusegae.models import layers
from diffusegae.models.layers import (
    FEW_PIXELS,
    SelfAttention,
    Upsample,
    UpsampledConv,
    group_norm,
    norm_scale_shift,
    silu,
)

CHANNELS_LAST = torch.channels_last


@pytest.mark.parametrize("layout", [torch.contiguous_format, CHANNELS_LAST])
@pytest.mark.parametrize("few", [0, FEW_PIXELS])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 4), (5, 3)])
def test_upsampled_conv_is_a_convolution_of_the_repeated_input(
    height: int, width: int, few: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "FEW_PIXELS", few)
    layer = UpsampledConv(3, 5).double().to(memory_format=layout)
    x = torch.randn(2, 3, height, width, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    expected = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), layer.weight, layer.bias, padding=1)
    result = layer(x)
    torch.testing.assert_close(result, expected)
    wanted = (x, layer.weight, layer.bias)
    gradient = torch.randn_like(expected)
    for ours, plain in zip(
        torch.autograd.grad(result, wanted, gradient), torch.autograd.grad(expected, wanted, gradient), strict=True
    ):
        torch.testing.assert_close(ours, plain)


def test_upsampled_conv_sums_taps_in_float32_under_autocast() -> None:
    layer = UpsampledConv(1, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 1, 1], layer.weight[0, 0, 1, 2] = 1 + 2**-9, -1  # bfloat16 rounds the first to 1
        layer.bias.zero_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = layer(torch.ones(FEW_PIXELS, 1, 1, 1))
    assert result[0, 0, 0, 0].item() == 2**-9


def test_upsample_keeps_the_names_and_shapes_of_its_weights() -> None:
    shapes = {name: tuple(weight.shape) for name, weight in Upsample(4).state_dict().items()}
    assert shapes == {"conv.weight": (4, 4, 3, 3), "conv.bias": (4,)}


@pytest.mark.parametrize("layout", [torch.contiguous_format, CHANNELS_LAST])
def test_norm_scale_shift_is_group_norm_scaled_and_shifted_per_image(layout: torch.memory_format) -> None:
    norm = group_norm(16).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    h = torch.randn(3, 16, 4, 5, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    scale, shift = torch.randn(2, 3, 16, dtype=torch.float64, requires_grad=True)
    expected = norm(h) * scale[..., None, None] + shift[..., None, None]
    result = norm_scale_shift(norm, h, scale, shift)
    torch.testing.assert_close(result, expected)
    assert result.is_contiguous(memory_format=layout)
    wanted = (h, scale, shift, norm.weight, norm.bias)
    for ours, plain in zip(
        torch.autograd.grad(result.square().sum(), wanted),
        torch.autograd.grad(expected.square().sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("layout", [torch.contiguous_format, CHANNELS_LAST])
def test_attention_is_softmax_of_scaled_products_per_head(layout: torch.memory_format) -> None:
    layer = SelfAttention(16, head_width=8).double()
    torch.nn.init.normal_(layer.out.weight)
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64).to(memory_format=layout)
    q, k, v = layer.qkv(layer.norm(x)).reshape(2, 3, 2, 8, 12).unbind(1)  # batch, head, channel, pixel
    weights = torch.softmax(torch.einsum("bncp,bncq->bnpq", q, k) / 8**0.5, dim=-1)
    gathered = torch.einsum("bnpq,bncq->bncp", weights, v).reshape(2, 16, 3, 4)
    result = layer(x)
    torch.testing.assert_close(result, x + layer.out(gathered))
    assert result.is_contiguous(memory_format=layout)


def test_attention_hands_over_queries_that_fused_kernels_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels of a head must lie side by side; else PyTorch falls back to the unfused formula."""
    strides = []

    def attend(*qkv: torch.Tensor) -> torch.Tensor:
        strides.extend(tensor.stride(-1) for tensor in qkv)
        return qkv[2]

    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    SelfAttention(16, head_width=8)(torch.randn(2, 16, 4, 4))
    assert strides == [1, 1, 1]


def test_silu_works_in_place_only_without_gradients() -> None:
    x = torch.randn(8)
    before = x.clone()
    torch.testing.assert_close(silu(x), F.silu(before))
    assert torch.equal(x, before)
    with torch.inference_mode():
        result = silu(x)
    assert result.data_ptr() == x.data_ptr()
    torch.testing.assert_close(x, F.silu(before))
