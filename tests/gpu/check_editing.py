"""Check that editor and engine make on the device the pictures that they make on a CPU in float32."""

import copy
from functools import cache, partial

import torch
from torch import Tensor

from diffusegae.config.inference import InferenceConfig
from diffusegae.config.model import SamplingConfig
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.engine import Engine
from diffusegae.editing.network import suited_to
from diffusegae.editing.operations import Edit
from diffusegae.models.autoencoder import DiffuseGAE
from tests.gpu.outcome import Check, Skipped, require
from tests.gpu.samples import random_batch, schema_of, shake
from tests.gpu.sizes import check_config

LEVELS, COARSE_LEVELS = 2.0, 4.0  # of 255; the second for bfloat16, of whose 8 bits an edit's 40 calls use up some
PICTURES, EDITS, STEPS, CACHE_BYTES = 5, 2, 20, 1 << 20
SAMPLINGS = (SamplingConfig(sampler="ddim", steps=STEPS), SamplingConfig(sampler="dpm++", steps=STEPS))


def checks(device: torch.device) -> dict[str, Check]:
    """Return a check of the editor for each way to call the network and of the engine as it is served."""
    ways = {
        "float32": InferenceConfig(),
        "bfloat16": InferenceConfig(precision="bfloat16"),
        "float16": InferenceConfig(precision="float16"),
        "float16 captured": InferenceConfig(precision="float16", acceleration="captured"),
        "bfloat16 captured": InferenceConfig(precision="bfloat16", acceleration="captured"),
    }
    found: dict[str, Check] = {f"codes on {device.type}": partial(check_codes, device)}
    for sampling in SAMPLINGS:
        for name, way in ways.items():
            found[f"editor {name}, {sampling.sampler}"] = partial(check_editor, device, way, sampling)
        found[f"engine, {sampling.sampler}"] = partial(check_engine, device, sampling)
    compiled = InferenceConfig(precision="float16", acceleration="compiled", sizes=(8,))
    found["editor float16 compiled, ddim"] = partial(check_editor, device, compiled, SAMPLINGS[0])
    return found


def check_codes(device: torch.device) -> str:
    """Compare z_dis, which is rounded to a lattice that the last bits must not cross."""
    config = check_config(device)
    images = _images(config, 64)
    on_cpu, on_device = (_editor(config, where).encode(images).cpu() for where in (torch.device("cpu"), device))
    crossed = int(((on_device - on_cpu).abs() > 1e-3).sum())
    share = crossed / on_cpu.numel()
    return require(share <= 1e-3, f"{crossed} of {on_cpu.numel()} values differ (≤ 0.1%: those between two points)")


def check_editor(device: torch.device, way: InferenceConfig, sampling: SamplingConfig) -> str:
    """Compare pictures that a network of the same weights and codes makes."""
    if way.acceleration != "none" and device.type != "cuda":
        raise Skipped("only GPUs have graphs")
    config = check_config(device)
    images, codes, wanted = reference_pictures(device, sampling)
    editor = _editor(config, device, way).with_sampling(sampling)
    moved = codes.to(device)
    found = editor.generate(moved.roll(1, 0), editor.infer_noise(images, moved)).cpu()
    return _compare(found, wanted, COARSE_LEVELS if way.precision == "bfloat16" else LEVELS)


@cache
def reference_pictures(device: torch.device, sampling: SamplingConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, their codes, and the pictures that a CPU makes in float32 of the codes of the image before."""
    config = check_config(device)
    images = _images(config, PICTURES)
    editor = _editor(config, torch.device("cpu"), InferenceConfig()).with_sampling(sampling)
    codes = editor.encode(images)
    return images, codes, editor.generate(codes.roll(1, 0), editor.infer_noise(images, codes))


def check_engine(device: torch.device, sampling: SamplingConfig) -> str:
    """Compare edits of three requests that share the network's calls with those of the CPU's editor."""
    config, schema = check_config(device), schema_of(check_config(device))
    images = _images(config, EDITS)
    donors = images.flip(0)
    reference = _editor(config, torch.device("cpu"), InferenceConfig()).with_sampling(sampling)
    wanted = torch.cat([reference.edit(images, {name: donors}) for name in schema.names])
    engine = Engine(_editor(config, device, suited_to(device)), max_images=8, cache_bytes=CACHE_BYTES)
    try:
        requests = [engine.submit(Edit(images, {name: donors}), sampling) for name in schema.names]
        found = torch.cat([request.future.result(timeout=120).cpu() for request in requests])
    finally:
        engine.close()
    return _compare(found, wanted)


def _compare(found: Tensor, wanted: Tensor, levels: float = LEVELS) -> str:
    """Return the differences in levels of 255; of the 99.9th percentile, since a clamp may turn over somewhere."""
    apart = (found - wanted).abs().flatten().double() * 127.5
    most, nearly = float(apart.max()), float(apart.quantile(0.999))
    detail = f"mean {float(apart.mean()):.3f}, 99.9% within {nearly:.2f} (≤ {levels}), most {most:.2f} of 255"
    return require(nearly <= levels and bool(torch.isfinite(apart).all()), detail)


def _editor(config: PipelineConfig, device: torch.device, way: InferenceConfig | None = None) -> Editor:
    """Return an editor of random weights, the same on every device; its last layer is small, as a trained one's is."""
    torch.manual_seed(0)
    schema = schema_of(config)
    model = DiffuseGAE(config.model, schema)
    shake(model)
    return Editor(copy.deepcopy(model), config, schema, device, inference=way)


def _images(config: PipelineConfig, count: int) -> Tensor:
    return random_batch(config, "pretrain", count, torch.device("cpu")).flatten(0, 1)
