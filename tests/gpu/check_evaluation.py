"""Check that judging an editor on the device finds what judging it on a CPU finds."""

from functools import partial

import torch

from diffusegae.editing.editor import Editor
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.context import build_context
from diffusegae.evaluation.running import measure
from diffusegae.metrics.features import LpipsDistance, PerceptualWeightsMissing
from diffusegae.models.autoencoder import DiffuseGAE
from tests.gpu.outcome import Check, Skipped, require
from tests.gpu.samples import schema_of, shake
from tests.gpu.sizes import preset
from tests.gpu.world import MemoryLookup, render_world

# Shares of some 30 pictures move by 1/30 if one is read otherwise; distances are means over pixels.
SHARES, DISTANCES = 0.1, 2e-2


def checks(device: torch.device) -> dict[str, Check]:
    """Return the checks of judging."""
    return {
        "LPIPS has its weights": check_lpips,
        f"evaluation, smoke, {device.type} against CPU": partial(check_evaluation, device),
    }


def check_lpips() -> str:
    """Say whether LPIPS can be measured: its weights come with a package that need not be there."""
    try:
        LpipsDistance.from_package("alex")
    except PerceptualWeightsMissing as missing:
        raise Skipped(str(missing)) from None
    return "AlexNet's weights are installed"


def check_evaluation(device: torch.device) -> str:
    """Judge an editor of random weights on both and compare all figures."""
    on_cpu, found = (_figures(where) for where in (torch.device("cpu"), device))
    apart = {name: abs(found[name] - value) for name, value in on_cpu.items() if name in found}
    far = {
        name: round(value, 4)
        for name, value in apart.items()
        if value > (DISTANCES if {"mse", "ssim", "lpips"} & set(name.split("/")) else SHARES)
    }
    missing = set(on_cpu) ^ set(found)
    return require(not far and not missing, f"{len(apart)} figures, {len(far)} differ {dict(list(far.items())[:3])}")


def _figures(device: torch.device) -> dict[str, float]:
    config = preset("smoke")
    schema = schema_of(config)
    torch.manual_seed(0)
    model = DiffuseGAE(config.model, schema)
    shake(model)
    lookup = MemoryLookup(render_world(config, processes=1))
    editor = Editor(model, config, schema, device)
    bench = Bench.of(editor, build_context(lookup, config, schema))
    return measure(bench, "diffusegae").metrics
