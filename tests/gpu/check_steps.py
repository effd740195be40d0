"""Check what a step does on the device: optimizer, moving average, DDP, pieces that fit the memory, and layouts."""

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from diffusegae.data.feed import prefetch
from diffusegae.pixels import to_tensor
from diffusegae.training.parallel import ddp_options
from diffusegae.training.stages import StageName
from diffusegae.training.transfer import Transfer
from tests.gpu.check_networks import distance
from tests.gpu.machine import deterministic
from tests.gpu.outcome import Check, Skipped, require
from tests.gpu.samples import OURS, build_state, random_batch, random_pixels, with_stage
from tests.gpu.sizes import check_config

STEPS_TO_MOVE = 6  # a layer that begins at zero passes no gradient at first
CLOSE = 1e-6  # float32 against float64 over a few steps of the same recurrence
SAMPLES, BATCHES = 8, 20


def checks(device: torch.device) -> dict[str, Check]:
    """Return all checks of the step."""
    return {
        **{f"step {stage}: all weights move": partial(check_all_move, device, stage) for stage in OURS},
        "EMA and Adam against float64": partial(check_averages, device),
        **{f"DDP, one rank, {stage}": partial(check_ddp, device, stage) for stage in OURS},
        "accumulate: pieces add up to the batch": partial(check_pieces, device),
        "accumulate: auto finds what fits": partial(check_auto, device),
        "channels_last changes nothing": partial(check_channels_last, device),
        "transfer on its own stream": partial(check_transfer, device),
    }


def check_all_move(device: torch.device, stage: StageName) -> str:
    """Train some steps in the preset's own precision, without compilation, which has checks of its own."""
    config = with_stage(check_config(device), stage, compile=False, learning_rate=1e-3, warmup_samples=0)
    state = build_state(config, stage, device)
    for step in range(STEPS_TO_MOVE):
        terms = state.step(random_batch(config, stage, SAMPLES, device, step))
    state.check_all_move()
    losses = {name: float(value) for name, value in terms.items()}
    return require(all(value == value for value in losses.values()), f"finite terms: {losses}")


def check_averages(device: torch.device) -> str:
    """Follow weights and moving average by hand in float64, from the gradients that the device's steps had."""
    config = with_stage(check_config(device), "refine", compile=False, precision="float32", clip_norm=1e9)
    state = build_state(config, "refine", device)
    parameters = list(state.stage.model.gae.parameters())
    weights = [p.detach().double().cpu() for p in parameters]
    shadow, first = [w.clone() for w in weights], [torch.zeros_like(w) for w in weights]
    second, betas = [torch.zeros_like(w) for w in weights], state.stage.config.betas
    for step in range(1, 5):
        state.step(random_batch(config, "refine", SAMPLES, device, step))
        rate = state.optimizers["dis"].param_groups[0]["lr"]
        decay = min(state.ema.decay, (1 + step) / (10 + step))
        for i, parameter in enumerate(parameters):
            assert parameter.grad is not None
            gradient = parameter.grad.double().cpu()
            first[i] = betas[0] * first[i] + (1 - betas[0]) * gradient
            second[i] = betas[1] * second[i] + (1 - betas[1]) * gradient**2
            mean, square = first[i] / (1 - betas[0] ** step), second[i] / (1 - betas[1] ** step)
            weights[i] = weights[i] - rate * mean / (square.sqrt() + 1e-8)
            shadow[i] = decay * shadow[i] + (1 - decay) * weights[i]
    found = distance(_flat(parameters), torch.cat([w.flatten() for w in weights]))
    averaged = distance(_flat(state.ema.module.gae.parameters()), torch.cat([s.flatten() for s in shadow]))
    detail = f"weights {found:.1e}, average {averaged:.1e} (≤ {CLOSE:.0e})"
    return require(max(found, averaged) <= CLOSE, detail)


def check_ddp(device: torch.device, stage: StageName) -> str:
    """Compare a step under DDP, with the options that workers use, with a bare one."""
    config = with_stage(check_config(device), stage, compile=False)
    options = ddp_options(config.settings_of(stage))

    def weights(wrap: Callable[[nn.Module], nn.Module]) -> Tensor:
        state = build_state(config, stage, device, wrap)
        for step in range(3):
            state.step(random_batch(config, stage, SAMPLES, device, step))
        return _flat(state.stage.model.parameters())

    with _one_rank(device) as backend, deterministic(device):
        found = distance(weights(lambda module: DistributedDataParallel(module, **options)), weights(lambda m: m))
    return require(found <= CLOSE, f"{backend}, {options}: weights differ by {found:.1e} (≤ {CLOSE:.0e})")


def check_pieces(device: torch.device) -> str:
    """Compare a step of three pieces with one of the whole batch; refine draws its donors within its GROUPs here."""
    gradients = []
    for pieces in (1, 3):
        changes = {"accumulate": pieces, "clip_norm": 1e9, "lambda_ur": 0.0, "lambda_agree": 0.0, "lambda_bend": 0.0}
        config = with_stage(check_config(device), "refine", compile=False, **changes)
        state = build_state(config, "refine", device)
        state.step(random_batch(config, "refine", config.refine.batch_size, device))
        grads = [p.grad for p in state.stage.model.gae.parameters() if p.grad is not None]
        gradients.append(_flat(grads))
    found = distance(gradients[1], gradients[0])
    return require(found <= 1e-3, f"gradients differ by {found:.1e} (≤ 1e-3: sums in another order, Eq. 11 without ur)")


def check_auto(device: torch.device) -> str:
    """Let a batch that does not fit half of the memory it needs be cut into pieces that do."""
    config = with_stage(check_config(device), "pretrain", compile=False, accumulate="auto")
    batch = random_batch(config, "pretrain", config.pretrain.batch_size, device)
    state = build_state(config, "pretrain", device)
    if device.type != "cuda":
        state.step(batch)
        return require(state.pieces == 1, f"{state.pieces} piece on a CPU")
    torch.cuda.reset_peak_memory_stats(device)
    state.step(batch)
    peak, total = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_properties(device).total_memory
    whole = state.pieces
    del state
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.6 * peak / total, device)
    try:
        state = build_state(config, "pretrain", device)
        state.step(batch)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    detail = f"{whole} piece with all memory, {state.pieces} with 0.6 of the {peak / 2**30:.2f} GiB that it took"
    return require(whole == 1 and state.pieces > 1, detail)


def check_channels_last(device: torch.device) -> str:
    """Compare a step in NHWC with one in NCHW, in float32."""
    found = []
    for channels_last in (False, True):
        changes = {"compile": False, "precision": "float32", "channels_last": channels_last}
        config = with_stage(check_config(device), "pretrain", **changes)
        state = build_state(config, "pretrain", device)
        terms = state.step(random_batch(config, "pretrain", SAMPLES, device))
        found.append(torch.stack([terms["simple"], terms["gradient_norm"]]).double().cpu())
    differs = distance(found[1], found[0])
    return require(differs <= 1e-3, f"loss and gradient norm differ by {differs:.1e} (≤ 1e-3: other kernels)")


def check_transfer(device: torch.device) -> str:
    """Send batches by the side stream while the device is busy; every one must arrive as a plain copy does."""
    generator, differing = torch.Generator().manual_seed(0), 0
    batches = [random_pixels(64, 64, generator).movedim(1, -1).contiguous().numpy() for _ in range(BATCHES)]
    busy = torch.randn(2048, 2048, device=device) if device.type == "cuda" else torch.randn(64, 64)
    for channels_last in (False, True):
        transfer = Transfer(device, channels_last)
        for sent, pixels in prefetch(((transfer.send([pixels]), pixels) for pixels in batches), 2):
            busy = torch.nn.functional.normalize(busy @ busy)
            (images,) = sent.receive()
            differing += not torch.equal((images + 0.0).cpu(), to_tensor(pixels))
    return require(differing == 0, f"{differing} of {2 * BATCHES} batches differ from a plain copy")


@contextmanager
def _one_rank(device: torch.device) -> Iterator[str]:
    """Be a process group of one, over NCCL on a GPU and gloo on a CPU."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    if not torch.distributed.is_available() or (backend == "nccl" and not torch.distributed.is_nccl_available()):
        raise Skipped(f"this torch has no {backend}")
    with tempfile.TemporaryDirectory() as folder:
        store = torch.distributed.FileStore(os.path.join(folder, "store"), 1)
        torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
        try:
            yield backend
        finally:
            torch.distributed.destroy_process_group()


def _flat(tensors: Iterator[Tensor] | list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().double().flatten().cpu() for tensor in tensors])
