"""What 1, 8 and 64 GPUs and 22 million images would take, from what is measured here: the tables of docs/scaling.md.

    python -m tests.benchmarks.bench_scaling [--flops 1e14] [--link 1e11] [--network 3e9]

Measured on this machine: operations per image of the `paper` networks (by torch's formulas), their parameters, the
seconds and bytes of an image of 128 px as a JPEG, and the seconds and bytes per row of planning GROUPs. Not measurable
without a GPU, and so given: the operations per second that a GPU does on such networks, and the bytes per second
between two GPUs of a machine of eight and between two machines. Judging is cut into pieces as a real one is, of a plan
that has the sizes of a real one and nothing in it. docs/scaling.md has the formulas and says where the given figures
come from.
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
from diffusegae.data.shards import LabelTable
from diffusegae.data.sources.vehicles import VehiclesConfig
from diffusegae.data.splits import Stratum
from diffusegae.evaluation.pieces import Piece, plan_pieces
from diffusegae.evaluation.plan import MAX_TEST, MAX_TRAIN, EvaluationPlan
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
STAGES_JUDGED = 2  # what jobs/evaluate.py compares: after stage 2, and after stage 3
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


def stages_of(config: PipelineConfig) -> tuple[list[Stage], float, float]:
    """Return the stages, and the operations of encoding one image and of one denoising step of one."""
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
    return [Stage(name, getattr(config, name).num_samples, *work[name]) for name in names], encode, denoise


def split_sizes(config: PipelineConfig, num_images: int) -> tuple[int, ...]:
    """Return about how many images are trained on, and how many are held out in each stratum.

    A hash holds out each pair and each value by its own share.
    """
    holdout, m = config.data.holdout, len(config.data.attributes)
    values = [wanted for wanted in holdout.values.values() if isinstance(wanted, float)]
    known = float(np.prod([1 - percent / 100 for percent in values]))
    pairs = holdout.pairs
    paired = (1 - pairs.percent / 100) ** (m * (m - 1) // 2) if pairs else 1.0  # every two attributes
    seen = num_images * known * paired
    shares = (seen * (1 - holdout.images / 100), seen * holdout.images / 100)
    return tuple(round(share) for share in (*shares, num_images * known * (1 - paired), num_images * (1 - known)))


def plan_of_size(config: PipelineConfig, num_images: int) -> EvaluationPlan:
    """Return a plan of the sizes that one of so many images has; there is nothing else in it."""
    num_trained, *held = split_sizes(config, num_images)
    evaluate, m = config.evaluate, len(config.data.attributes)

    def rows(limit: int) -> np.ndarray:
        return np.zeros(sum(min(limit, count) for count in held), np.int64)

    def strata(limit: int) -> np.ndarray:
        return np.repeat(np.arange(len(Stratum)), [min(limit, count) for count in held]).astype(np.int8)

    sources = rows(-(-evaluate.num_edits // m))
    recombined = evaluate.num_edits * sum(count > 0 for count in held)
    edits, nothing = len(sources) * m + recombined, np.zeros(0, np.int32)
    return EvaluationPlan(
        labels=LabelTable({}, nothing.astype(bool), nothing, nothing),
        train=np.zeros(min(MAX_TRAIN, num_trained), np.int64),
        test=rows(MAX_TEST),
        test_strata=strata(MAX_TEST),
        reconstructed=rows(evaluate.num_reconstructions),
        reconstructed_strata=strata(evaluate.num_reconstructions),
        sources=sources,
        donors=sources,
        givers=np.zeros((recombined, m), np.int64),
        edit_labels=np.zeros((edits, 2, m), np.int64),
        edit_truths=np.zeros(edits, np.int64),
        edit_strata=np.zeros(edits, np.int8),
    )


def judging_row(name: str, config: PipelineConfig, num_images: int, denoise: float, flops: float) -> str:
    """Return the row of judging stages 2 and 3: denoising steps alone, on 1, 8 and 64 GPUs, and the largest piece."""
    pieces: list[Piece] = plan_pieces("diffusegae", config, plan_of_size(config, num_images))
    largest = max(piece.work for piece in pieces if piece.measure != "probes")  # which denoise nothing
    steps = STAGES_JUDGED * sum(piece.work for piece in pieces)
    rate = flops / denoise
    cells = [f"{hours(steps / rate / gpus)}; {gpus * rate:,.0f}/s" for gpus in GPUS]
    what = f"evaluate `{name}`: {steps:,} in {STAGES_JUDGED * len(pieces):,} pieces of at most {largest / rate:.0f} s"
    return f"| {what} | " + " | ".join(cells) + " |"


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
    """Write a duration in minutes, hours or days."""
    if seconds < 3600:
        return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
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
    stages, encode, denoise = stages_of(config)
    small = load_config("vehicles64", [], PRESETS)
    assert isinstance(small.data.source, VehiclesConfig)
    vehicles = small.data.source.world(small.model.image_size).num_images
    decode, image_bytes = decoding(config.model.image_size)
    plan_seconds = (planned.index_cpu_seconds + planned.plan_cpu_seconds) / PLANNED_ROWS
    print(
        f"- operations: {', '.join(f'{s.name} {s.operations:.3g}' for s in stages)} per sample; encoding {encode:.3g};"
        f" a denoising step {denoise:.3g}"
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
    print(
        "| judging: denoising steps of an image | "
        + " | ".join(f"{gpus} GPU{'s' * (gpus > 1)}" for gpus in GPUS)
        + " |"
    )
    print("|---" * (1 + len(GPUS)) + "|")
    print(judging_row("paper", config, IMAGES, denoise, given.flops))
    print(judging_row("vehicles64", small, vehicles, stages_of(small)[2], given.flops) + "\n")
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
