"""Stage 1 of `quick` beside one other busy process ÷ alone, for each way in which OpenMP's threads can wait.

    python -m tests.benchmarks.bench_contention [--seconds 4] [--rounds 3]

Every policy trains on random images in memory, in a process of its own that stands still while another is measured;
rounds alternate, so that a noisy machine hits all alike. The busy process is this script's. A machine on which
something else runs (the load is printed first) spoils the figures.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch

from diffusegae.config.load import load_config
from diffusegae.training.stages import StageInputs
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from diffusegae.training.threads import adaptive_waiting
from jobs.cli import PRESETS
from tests.tiny import random_images, tiny_schema

SPIN = "GOMP_SPINCOUNT=100000"
POLICIES = {"OpenMP's default": "", SPIN: SPIN, "OMP_WAIT_POLICY=passive": "OMP_WAIT_POLICY=passive", "ours": ""}
OURS, CPU = "ours", torch.device("cpu")
SETTLE = 2.5  # seconds of training before every measurement: ours decides by two readings, a second apart


def serve(pipe: Connection, policy: str) -> None:
    """Train for as many seconds as the pipe asks for, again and again, and answer the images/s; None ends it."""
    config = load_config("quick", [], PRESETS)
    torch.set_num_threads(int(config.resources.cpus_per_worker))
    torch.manual_seed(0)
    schema = tiny_schema(*(spec.width for spec in config.data.attributes.values()))
    state = TrainingState(STAGES["pretrain"](StageInputs(config, schema)), CPU, lambda module: module, 0)
    images, size = random_images(512, config.model.image_size), config.pretrain.batch_size

    def train_for(seconds: float) -> float:
        started, steps = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < seconds:
            state.step(images[torch.randint(0, len(images), (size,))][:, None])
            steps += 1
        return steps * size / elapsed

    waiting: AbstractContextManager[None] = adaptive_waiting(CPU) if policy == OURS else nullcontext()
    with waiting:
        pipe.send(train_for(1.0))
        while (seconds := pipe.recv()) is not None:
            train_for(SETTLE)
            pipe.send(train_for(seconds))


@contextmanager
def trainer(policy: str, setting: str) -> Iterator[Connection]:
    """Start a process under a policy and give the pipe to ask it through; end it afterwards."""
    for name in [name for name in os.environ if name.startswith(("OMP_", "GOMP_"))]:
        del os.environ[name]  # a process inherits what is set here
    if setting:
        name, value = setting.split("=")
        os.environ[name] = value
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process: BaseProcess = context.Process(target=serve, args=(there, policy), daemon=True)
    process.start()
    here.recv()
    try:
        yield here
    finally:
        here.send(None)
        process.join()


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep another process at 100% of a CPU."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(policies: dict[str, str], seconds: float, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return every policy's median images/s alone, and beside a busy process."""
    alone: dict[str, list[float]] = {policy: [] for policy in policies}
    beside: dict[str, list[float]] = {policy: [] for policy in policies}
    with ExitStack() as stack:
        pipes = {policy: stack.enter_context(trainer(policy, setting)) for policy, setting in policies.items()}
        print(f"load before: {os.getloadavg()[0]:.2f}", flush=True)
        for _ in range(rounds):
            for rates, condition in ((alone, nullcontext()), (beside, busy_process())):
                with condition:
                    for policy, pipe in pipes.items():
                        pipe.send(seconds)
                        rates[policy].append(pipe.recv())
    return {p: statistics.median(r) for p, r in alone.items()}, {p: statistics.median(r) for p, r in beside.items()}


def main() -> None:
    """Measure and print a row for each policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    alone, beside = measure(POLICIES, arguments.seconds, arguments.rounds)
    print(f"{'':24}  images/s alone   beside  beside ÷ alone")
    for policy in POLICIES:
        print(f"{policy:24}  {alone[policy]:14.1f}  {beside[policy]:7.1f}  {beside[policy] / alone[policy]:14.2f}")
    best = max(alone.values())
    print(f"ours ÷ the best: alone {alone[OURS] / best:.3f}, beside {beside[OURS] / max(beside.values()):.3f}")


if __name__ == "__main__":
    main()
