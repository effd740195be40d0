"""The optimizer step of each stage on the CPU, in this checkout against another one: samples per second, in pairs.

    git worktree add /tmp/before <commit>
    python -m tests.benchmarks.bench_step --against /tmp/before [--preset quick] [--rounds 5]

Each round is a process of its own in either checkout, in turn, on random batches that lie in memory; the figure is the
ratio of the medians. Without `--against` it prints this checkout's rates.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from diffusegae.config.load import load_config
from diffusegae.training.stages import StageInputs, shared_of
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from jobs.cli import PRESETS
from tests.benchmarks.bench_latents import schema_of

HERE = Path(__file__).parents[2]
STAGE_NAMES = ("pretrain", "refine", "finetune")


def rate(preset: str, name: str, seconds: float) -> float:
    """Return samples per second of a stage, the first two steps left out."""
    config = load_config(preset, (), PRESETS)
    torch.set_num_threads(int(config.resources.cpus_per_worker))
    torch.manual_seed(0)
    width, size = config.model.z_sem_width, config.model.image_size
    inputs = StageInputs(config, schema_of(config), latent_mean=torch.zeros(width), latent_covariance=torch.eye(width))
    state = TrainingState(STAGES[name](inputs), torch.device("cpu"), lambda module: module, 0)  # type: ignore[index]
    samples, members = state.stage.config.batch_size, 1 if shared_of(state.stage.config) is None else 4
    shape = (width,) if name == "refine" else (3, size, size)
    batch = torch.rand(samples, members, *shape) * 2 - 1
    state.step(batch)
    state.step(batch)
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        state.step(batch)
        steps += 1
    return steps * samples / (time.perf_counter() - started)


def rates_of(checkout: Path, preset: str, stages: Sequence[str], seconds: float) -> dict[str, float]:
    """Measure a checkout in a process of its own, by this file."""
    command = [sys.executable, __file__, "--child", "--preset", preset, "--seconds", str(seconds), "--stages", *stages]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print each stage's medians, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--stages", nargs="+", choices=STAGE_NAMES, default=STAGE_NAMES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each stage in a round")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps({name: rate(arguments.preset, name, arguments.seconds) for name in arguments.stages}))
        return
    checkouts = [HERE, *([arguments.against.resolve()] if arguments.against else [])]
    rounds: dict[Path, list[dict[str, float]]] = {checkout: [] for checkout in checkouts}
    for _ in range(arguments.rounds):
        for checkout in checkouts:
            rounds[checkout].append(rates_of(checkout, arguments.preset, arguments.stages, arguments.seconds))
    for name in arguments.stages:
        medians = [statistics.median(found[name] for found in rounds[checkout]) for checkout in checkouts]
        beside = f", {medians[1]:.1f} there, ratio {medians[0] / medians[1]:.3f}" if arguments.against else ""
        print(f"{arguments.preset} {name}: {medians[0]:.1f} samples/s here{beside}")


if __name__ == "__main__":
    main()
