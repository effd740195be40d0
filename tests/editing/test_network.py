"""The UNet for inference: on a CPU the UNet itself; narrowed it stays near, in float32 where bits count."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from diffusegae.config.inference import InferenceConfig
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.cudnn import NO_TF32, Switch
from diffusegae.editing.editor import Editor
from diffusegae.editing.narrow import narrow, narrow_condition
from diffusegae.editing.network import HALF, Network, device_at_hand, suited_to
from diffusegae.models.unet import UNet
from tests.editing.test_buckets import Batch, Recorder, a_batch
from tests.tiny import random_images, smoke_config, tiny_model, tiny_schema

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SCHEMA = tiny_schema(8, 8, 8)
CAPTURED = InferenceConfig(precision="float16", acceleration="captured", sizes=(1, 4))


@pytest.fixture(scope="module")
def unet() -> UNet:
    return tiny_model(smoke_config("model.unet.canvas=true"), SCHEMA).unet.requires_grad_(False)


@pytest.fixture
def batch(unet: UNet) -> Batch:
    return a_batch(unet, 3)


def test_on_a_cpu_it_is_the_unet(unet: UNet, batch: Batch) -> None:
    plain = Network(unet, suited_to(CPU), CPU)
    z_sem = torch.randn(3, 32)
    assert torch.equal(plain.denoise(*batch), unet.denoise(*batch))
    assert torch.equal(plain.predictor(z_sem)(*batch[:2]), unet(*batch[:2], z_sem))


def test_a_gpu_gets_graphs_in_half_precision() -> None:
    config = suited_to(GPU)
    assert config.acceleration == "captured"
    assert config.precision in HALF
    assert config.sizes == (1, 2, 4, 8, 16)


@pytest.mark.parametrize(("has_gpu", "device"), [(True, GPU), (False, CPU)])
def test_the_device_at_hand_is_a_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, has_gpu: bool, device: torch.device
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert device_at_hand() == device


@pytest.mark.parametrize("acceleration", ["captured", "compiled"])
def test_graphs_without_a_gpu_are_refused(unet: UNet, acceleration: str) -> None:
    config = InferenceConfig.model_validate({"acceleration": acceleration})
    with pytest.raises(ValueError, match=f"acceleration={acceleration} on cpu; only GPUs have graphs, expected none"):
        Network(unet, config, CPU)


@pytest.mark.parametrize("sizes", [(), (0, 1), (2, 1), (1, 1)])
def test_sizes_ascend(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="sizes"):
        InferenceConfig(sizes=sizes)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)])
def test_a_narrowed_unet_predicts_nearly_the_same(
    unet: UNet, batch: Batch, dtype: torch.dtype, tolerance: float
) -> None:
    x_t, t, condition = batch
    narrowed, expected = narrow(unet, dtype), unet.denoise(*batch)
    found = narrowed.denoise(x_t, t, narrow_condition(condition, dtype))
    assert found.dtype == torch.float32
    error = float((found - expected).norm() / expected.norm())
    assert 0 < error < tolerance


def test_what_bits_hang_on_stays_float32_and_the_unet_as_it_was(unet: UNet) -> None:
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    kept = ("time.", "head.", "canvas.", "style.")
    for name, value in narrow(unet, torch.float16).state_dict().items():
        assert value.dtype == (torch.float32 if name.startswith(kept) else torch.float16), name
    assert unet.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


def test_the_blend_with_the_canvas_is_float32s(unet: UNet, batch: Batch) -> None:
    x_t, t, condition = batch
    assert unet.canvas is not None
    assert condition.canvas is not None
    narrowed = narrow(unet, torch.float16)
    assert narrowed.canvas is not None
    time = unet.time_embedding(t)
    expected = unet.canvas.blend(unet.unshuffle(x_t), condition.canvas, time)
    found = narrowed.canvas.blend(unet.unshuffle(x_t), condition.canvas, narrowed.time_embedding(t))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)


def test_warming_up_records_all_sizes_so_that_requests_record_none(unet: UNet, batch: Batch) -> None:
    recorder, model = Recorder(), smoke_config("model.unet.canvas=true").model
    captured = Network(unet, CAPTURED, CPU, recorder)
    captured.warm_up(model)
    assert recorder.sizes == [4, 1]
    with torch.inference_mode():
        found = captured.denoise(*batch)
    assert recorder.sizes == [4, 1]
    torch.testing.assert_close(found, unet.denoise(*batch), atol=0.02, rtol=0.02)


def test_an_editor_edits_by_recorded_calls_as_in_float32() -> None:
    config = smoke_config("model.unet.canvas=true")
    model = tiny_model(config, SCHEMA)
    sampling = SamplingConfig(steps=10, sampler="dpm++")
    captured, plain = (Editor(model, config, SCHEMA, sampling=sampling) for _ in range(2))
    captured.network = Network(model.unet, CAPTURED, CPU, Recorder())
    source, donor = random_images(3), random_images(3, seed=1)

    def edit(editor: Editor) -> Tensor:
        return editor.edit(source, {"b": donor})

    assert torch.equal(edit(captured.in_float32()), edit(plain))
    assert captured.with_sampling(SamplingConfig(steps=5)).network is captured.network
    off = (edit(captured) - edit(plain)).abs() * 127.5
    assert 0 < float(off.mean()) < 2


def test_a_switch_is_set_back_when_the_last_holder_ends() -> None:
    switch, before = Switch("allow_tf32", not torch.backends.cudnn.allow_tf32), torch.backends.cudnn.allow_tf32
    first, second = switch.held(), switch.held()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32 is not before
    second.__exit__(None, None, None)
    assert torch.backends.cudnn.allow_tf32 is before
    with NO_TF32.held():
        assert not torch.backends.cudnn.allow_tf32
