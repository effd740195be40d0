"""Check that a step compiles to whole graphs: no break in it, none compiled anew, and the loss that eager steps have.

On a GPU the whole compiler runs, as training uses it. On a CPU, where it takes minutes, all of it but the kernels:
what finds breaks, and what takes forward and backward apart.
"""

from functools import partial

import torch
import torch._dynamo
from torch._dynamo.utils import counters

from diffusegae.training.stages import StageName
from diffusegae.training.step import TrainingState
from tests.gpu.outcome import Check, require
from tests.gpu.samples import DIFFUSION_BASELINES, OURS, build_state, random_batch, with_stage
from tests.gpu.sizes import preset

STEPS, SAMPLES = 4, 8
SIZE = "smoke"  # breaks do not depend on widths, and the compiler takes minutes on wider networks
# Compiled kernels fuse, which keeps more bits than eager ones in bfloat16; the loss is a mean over all pixels.
TOLERANCE = 1e-2


def checks(device: torch.device) -> dict[str, Check]:
    """Return a check for each of our stages."""
    return {f"compile {stage}": partial(check_stage, device, stage) for stage in OURS}


def baseline_checks(device: torch.device) -> dict[str, Check]:
    """Return a check for each of the baselines that share our UNet."""
    return {f"compile {stage}": partial(check_stage, device, stage) for stage in DIFFUSION_BASELINES}


def check_stage(device: torch.device, stage: StageName) -> str:
    """Train some compiled steps; Failed if there is a break, a graph for each step, or another loss."""
    eager = _first_losses(_state(device, stage, compiled=False))
    torch._dynamo.reset()
    counters.clear()
    state = _state(device, stage, compiled=True)
    losses = _first_losses(state)
    breaks, graphs = dict(counters["graph_break"]), counters["stats"]["unique_graphs"]
    apart = max(abs(a - b) / max(abs(b), 1e-6) for a, b in zip(losses, eager, strict=True))
    detail = f"{len(breaks)} breaks {list(breaks)[:2]}, {graphs} graph(s) in {STEPS} steps, losses {apart:.1e} apart"
    return require(not breaks and graphs == len(state.stage.objectives) and apart <= TOLERANCE, detail)


def _state(device: torch.device, stage: StageName, compiled: bool) -> TrainingState:
    by_inductor = compiled and device.type == "cuda"
    # On a CPU, torch 2.11 to 2.13 crash in group norm's backward in NHWC where its input needs no gradient, as PDAE's.
    channels_last = device.type == "cuda"
    config = with_stage(
        preset(SIZE), stage, compile=by_inductor, channels_last=channels_last, precision=_precision(stage)
    )
    state = build_state(config, stage, device)
    if compiled and not by_inductor:
        for objective in state.stage.objectives:
            objective.module.compile(backend="aot_eager")
    return state


def _precision(stage: StageName) -> str:
    return "float32" if stage == "refine" else "bfloat16"  # as the presets have it


def _first_losses(state: TrainingState) -> list[float]:
    """Return each step's first reported term; the weights hardly move in so few steps."""
    config = preset(SIZE)
    found = []
    for step in range(STEPS):
        terms = state.step(random_batch(config, state.stage.name, SAMPLES, state.device, seed=step))
        found.append(float(next(iter(terms.values()))))
    return found
