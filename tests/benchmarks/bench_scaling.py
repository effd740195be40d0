"""What 1, 8 and 64 GPUs and 22 million images would take, from what is measured here: the tables of docs/scaling.md.

    python -m tests.benchmarks.bench_scaling [--flops 1e14] [--link 1e11] [--network 3e9]

Measured on this machine: operations per image of the `paper` networks (by torch's formulas), their parameters, the
seconds and bytes of an image of 128 px as a JPEG, and the seconds and bytes per row of planning GROUPs. Not measurable
without a GPU, and so given: the operations per second that a GPU does on such networks, and the bytes per second
between two GPUs of a machine of eight and between two machines. docs/scaling.md has the formulas and says where the
given figures come from.
"""

import argparse
import multiprocessing
import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch

from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.vehicles.render import VehicleWorld
from diffusegae.forecast import format_bytes
from diffusegae.images import decode_batch, encode_image
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.schema import build_schema
from diffusegae.training.flops import FlopCounter
from jobs.cli import PRESETS
from tests.benchmarks.bench_groups import measure

IMAGES, PLANNED_ROWS, GPUS, GPUS_PER_MACHINE = 22_000_000, 2_000_000, (1, 8, 64), 8
BACKWARD = 3  # a training step does the forward's operations about three times
HIDDEN = 2 / 3  # the share of a step, its backward, during which gradients are exchanged as they come
PER_GPU = {"pretrain": 32, "refine": 512, "finetune": 8}
VOCABULARIES = {"category": 15, "instance": 718, "background": 111, "pose": 88}
TABLE = "iLab-20M: 718 instances, 111 backgrounds, 88 poses"


@dataclass(frozen=True)
class Stage:
    """One stage's work: samples, operations and image bytes per sample, and the parameters that train."""

    name: str
    samples: int
    operations: float
    image_members: int
    parameters: int


def flops_of(function: object, *arguments: torch.Tensor) -> float:
    """Count the operations of one call."""
    with FlopCounter() as counter, torch.no_grad():
        function(*arguments)  # type: ignore[operator]
    return float(counter.flops)


def stages_of(config: PipelineConfig) -> tuple[list[Stage], float]:
    """Return the stages, and the operations of encoding one image."""
    values = {name: tuple(str(number) for number in range(count)) for name, count in VOCABULARIES.items()}
    model = DiffuseGAE(config.model, build_schema(config.data.attributes, values)).eval()
    size, counts = config.model.image_size, model.parameter_counts()
    image, z_sem = torch.zeros(1, 3, size, size), torch.zeros(1, config.model.z_sem_width)
    encode = flops_of(model.encode, image)
    denoise = flops_of(model.predict, image, torch.zeros(1), z_sem)
    gae = flops_of(lambda z: model.entangle(model.disentangle(z)), z_sem)
    members = 1 + len(config.data.attributes)  # GROUP(C, 1)
    names = ("pretrain", "refine", "finetune")
    work = {
        "pretrain": (BACKWARD * (encode + denoise), 1, counts["encoder"] + counts["unet"]),
        "refine": (BACKWARD * 3 * members * gae, 0, counts["gae"]),  # codes, swaps and reassemblies are decoded
        "finetune": (BACKWARD * members * (encode + denoise + 3 * gae), members, sum(counts.values())),
    }
    return [Stage(name, getattr(config, name).num_samples, *work[name]) for name in names], encode


def decoding(size: int) -> tuple[float, float]:
    """Return the images that one core decodes per second, and the mean bytes of one."""
    world = VehicleWorld(num_backgrounds=8, size=size)
    pixels = world.render_layer(0, 0, 0)
    encoded = [encode_image(image, "jpeg") for image in pixels] * 32
    seconds = []
    for _ in range(5):
        started = time.process_time()
        decode_batch(encoded, size)
        seconds.append(time.process_time() - started)
    return len(encoded) / statistics.median(seconds), float(np.mean([len(data) for data in encoded]))


def hours(seconds: float) -> str:
    """Write a duration in hours or days."""
    return f"{seconds / 3600:,.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:,.1f} days"


@dataclass(frozen=True)
class Given:
    """What cannot be measured here: operations per second of a GPU, bytes per second in and between machines."""

    flops: float
    link: float
    network: float


def exchange_seconds(stage: Stage, gpus: int, given: Given) -> float:
    """Return the time of a ring all-reduce of float32 gradients: within each machine, then between the machines."""
    inside, machines = min(gpus, GPUS_PER_MACHINE), -(-gpus // GPUS_PER_MACHINE)
    size = 4 * stage.parameters
    return 2 * size * ((inside - 1) / inside / given.link + (machines - 1) / machines / given.network)


def row_of(stage: Stage, given: Given, decode: float, image_bytes: float) -> str:
    """Return a stage's row of the table, a cell for each number of GPUs."""
    cells = []
    for gpus in GPUS:
        compute = PER_GPU[stage.name] * stage.operations / given.flops
        waiting = max(0.0, exchange_seconds(stage, gpus, given) - HIDDEN * compute)
        rate = gpus * PER_GPU[stage.name] / (compute + waiting)
        images = rate * stage.image_members
        cores = f"{images / decode:.2g} cores, {format_bytes(images * image_bytes)}/s" if images else "from memory"
        waits = f"waits {100 * waiting / (compute + waiting):.0f} %"
        cells.append(f"{hours(stage.samples / rate)}; {rate:,.0f}/s; {waits}; {cores}")
    return f"| {stage.name}: {stage.samples:,} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measure, and print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flops", type=float, default=1e14, help="operations per second of one GPU on these networks")
    parser.add_argument("--link", type=float, default=1e11, help="bytes per second between GPUs of one machine")
    parser.add_argument("--network", type=float, default=3e9, help="bytes per second between two machines")
    given = Given(**vars(parser.parse_args()))
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # first: a process inherits its parent's peak
        planned = pool.apply(measure, (TABLE, PLANNED_ROWS, 1))
    torch.set_num_threads(1)
    config = load_config("paper", [], PRESETS)
    stages, encode = stages_of(config)
    decode, image_bytes = decoding(config.model.image_size)
    plan_seconds = (planned.index_cpu_seconds + planned.plan_cpu_seconds) / PLANNED_ROWS
    print(
        f"- operations: {', '.join(f'{s.name} {s.operations:.3g}' for s in stages)} per sample; encoding {encode:.3g}"
    )
    print(f"- parameters that train: {', '.join(f'{s.name} {s.parameters:,}' for s in stages)}")
    print(f"- one core decodes {decode:,.0f} images/s of {image_bytes:,.0f} bytes")
    print(f"- planning takes {1e9 * plan_seconds:.0f} ns and {planned.peak_bytes / PLANNED_ROWS:.0f} bytes per row\n")
    print("| stage: samples | " + " | ".join(f"{gpus} GPU{'s' * (gpus > 1)}" for gpus in GPUS) + " |")
    print("|---" * (1 + len(GPUS)) + "|")
    for stage in stages:
        print(row_of(stage, given, decode, image_bytes))
    cells = [hours(IMAGES * encode / given.flops / gpus) for gpus in GPUS]
    print(f"| encode: {IMAGES:,} | " + " | ".join(cells) + " |\n")
    width, held = config.model.z_sem_width, config.data.window_rows
    print(f"- image shards {format_bytes(IMAGES * image_bytes)}, latents {format_bytes(IMAGES * width * 4)}")
    print(f"- a window of {held:,} encoded images {format_bytes(held * image_bytes)}")
    memory = format_bytes(IMAGES * planned.peak_bytes / PLANNED_ROWS)
    print(f"- GROUPs over all rows: {IMAGES * plan_seconds:.0f} s, {memory}")
    weights = stages[0].parameters + stages[1].parameters
    for stage in stages:
        print(f"- a checkpoint of {stage.name}: {format_bytes(8 * (weights + stage.parameters))}")


if __name__ == "__main__":
    main()
