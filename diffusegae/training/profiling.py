"""A profile of a stage's steps: what they take and which operators, as a table and as a trace for Perfetto."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule

from diffusegae import storage
from diffusegae.data.feed import FeedBatch
from diffusegae.training.job import TrainingJob, stage_inputs
from diffusegae.training.meter import Meter
from diffusegae.training.source import WorkerFeed
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from diffusegae.training.threads import adaptive_waiting

WARMUP_STEPS, SHOWN_OPERATORS = 5, 12
_STEP, _WAIT = "ProfilerStep", "wait for data"
_SHOWN = {
    "step_seconds": ("step", 1e3, "ms"),
    "images_per_second": ("images/s", 1.0, ""),
    "data_wait": ("data wait", 1e2, "%"),
    "gpu_memory_gib": ("GPU memory", 1.0, "GiB"),
    "mfu": ("MFU", 1e2, "%"),
}

Batches = Iterator[tuple[Any, FeedBatch]]


def profile_stage(job: TrainingJob, trace: str, steps: int) -> str:
    """Train a stage for some steps as its first worker would, store their trace at a URI, and return a table.

    The stage starts from its beginning and nothing that it learns is kept. Of several workers this one takes its share
    of every batch, without the exchange of gradients; images/s are those of all of them at this one's pace. The figures
    are those of as many steps before the profiler starts, which slows them down.
    """
    resources = job.config.resources
    torch.set_num_threads(max(1, int(resources.cpus_per_worker)))
    device = torch.device("cuda" if resources.gpus_per_worker else "cpu")
    batches = WorkerFeed(job, device, 0, resources.max_workers).start(())
    torch.manual_seed(job.config.seed)
    state = TrainingState(STAGES[job.stage](stage_inputs(job)), device, lambda module: module, job.config.seed)
    meter = Meter(state)
    handed = meter.waiting(batches)
    with adaptive_waiting(device):
        _take(state, handed, WARMUP_STEPS)
        meter.restart()
        _take(state, handed, steps)
        figures = meter.figures()
        profiler = _trace(state, handed, steps, trace)
    title = f"{job.stage} of {job.config.name}: {steps} steps on {device.type}, {job.settings.precision}"
    return "\n".join([title, *_figure_lines(figures), *_operator_lines(profiler, steps)])


def _take(state: TrainingState, batches: Batches, steps: int) -> None:
    """Take some steps, each as the stage's first, so that they may be more than it has; wait for their end."""
    for _ in range(steps):
        state.step(next(batches)[0])
        state.samples_seen = 0
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)


def _trace(state: TrainingState, batches: Batches, steps: int, target: str) -> profile:
    """Take some steps under the profiler, after one that warms it up, and store their trace."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if state.device.type == "cuda" else [])]
    profiler = profile(activities=activities, schedule=schedule(wait=0, warmup=1, active=steps, repeat=1))
    with profiler:
        for _ in range(1 + steps):
            with record_function(_WAIT):
                batch, _ = next(batches)
            state.step(batch)
            state.samples_seen = 0
            profiler.step()
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "trace.json.gz")
        profiler.export_chrome_trace(str(local))
        storage.write_bytes(target, local.read_bytes())
    return profiler


def _figure_lines(figures: dict[str, float]) -> list[str]:
    shown = [(label, figures[key] * scale, unit) for key, (label, scale, unit) in _SHOWN.items() if key in figures]
    return [f"{label:<12}{value:>10.4g} {unit}".rstrip() for label, value, unit in shown]


def _operator_lines(profiler: profile, steps: int) -> list[str]:
    """Return the operators, on GPUs the kernels, that took most of the time by themselves."""
    rows = _self_times(profiler)
    total = sum(seconds for _, seconds, _ in rows)
    what = "kernel" if _is_cuda(profiler) else "operator"
    lines = [f"{'':2}{what:<60}{'ms a step':>10}{'share':>8}{'calls':>8}"]
    for name, seconds, calls in sorted(rows, key=lambda row: -row[1])[:SHOWN_OPERATORS]:
        lines.append(f"{'':2}{name[:58]:<60}{1e3 * seconds / steps:>10.3f}{seconds / total:>8.1%}{calls / steps:>8.4g}")
    return lines


def _self_times(profiler: profile) -> Sequence[tuple[str, float, int]]:
    """Return name, seconds and calls of what ran on the device; steps are frames around it, no operators."""
    on_gpu = _is_cuda(profiler)
    kind = "CUDA" if on_gpu else "CPU"
    return [
        (event.key, (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e6, event.count)
        for event in profiler.key_averages()
        if event.device_type.name == kind and not (event.is_user_annotation if on_gpu else event.key.startswith(_STEP))
    ]


def _is_cuda(profiler: profile) -> bool:
    return ProfilerActivity.CUDA in profiler.activities
