"""Stage 2 on latents against GZS-Net on pixels: GROUPs per second at the same image size, in one run.

    python -m tests.benchmarks.bench_latents [--presets quick paper] [--rounds 5]

Both take optimizer steps on the same threads, on random inputs of the right shape that lie in memory: only the
networks count. Rounds alternate; the figure is the ratio of the medians. At the paper's size the batches are cut to
what a CPU steps through in seconds, for GZS-Net its authors' own 4 GROUPs.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from diffusegae.baselines.baseline import Samples
from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.schema import Attribute, AttributeSchema
from diffusegae.training.stages import StageInputs
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from jobs.cli import PRESETS

CARDINALITIES = (10, 111, 6)
SMALL = ("refine.batch_size=256", "baselines.gzsnet.batch_size=4")
SECONDS = 4.0  # of one round


def schema_of(config: PipelineConfig) -> AttributeSchema:
    """Return attributes of the paper's numbers of values and of the config's widths."""
    attributes = []
    for (name, spec), count in zip(config.data.attributes.items(), CARDINALITIES, strict=True):
        values = tuple(f"{name}{value}" for value in range(count))
        attributes.append(
            Attribute(name=name, column=name, group_column=name, values=values, group_values=values, width=spec.width)
        )
    return AttributeSchema(attributes=tuple(attributes))


def latents(config: PipelineConfig, schema: AttributeSchema) -> tuple[TrainingState, torch.Tensor]:
    """Return stage 2 and a batch of it."""
    width = config.model.z_sem_width
    inputs = StageInputs(config, schema, latent_mean=torch.zeros(width), latent_covariance=torch.eye(width))
    state = TrainingState(STAGES["refine"](inputs), torch.device("cpu"), lambda module: module, 0)
    return state, torch.randn(config.refine.batch_size, 1 + len(CARDINALITIES), width)


def pixels(config: PipelineConfig, schema: AttributeSchema) -> tuple[TrainingState, Samples]:
    """Return GZS-Net and a batch of it."""
    state = TrainingState(STAGES["gzsnet"](StageInputs(config, schema)), torch.device("cpu"), lambda module: module, 0)
    shape = (config.baselines.gzsnet.batch_size, 1 + len(CARDINALITIES))
    size = config.model.image_size
    labels = torch.stack([torch.randint(0, count, shape) for count in CARDINALITIES], dim=2)
    return state, Samples(torch.rand(*shape, 3, size, size) * 2 - 1, labels)


def rate(step: Callable[[], object], groups: int) -> float:
    """Return GROUPs per second over some seconds of steps."""
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        step()
        steps += 1
    return steps * groups / (time.perf_counter() - started)


def main() -> None:
    """Print the medians and their ratio for each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", default=["quick", "paper"])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for preset in arguments.presets:
        config = load_config(preset, SMALL if preset == "paper" else (), PRESETS)
        torch.set_num_threads(2)
        schema = schema_of(config)
        (ours, z), (theirs, images) = latents(config, schema), pixels(config, schema)
        ours.step(z)
        theirs.step(images)
        rates: dict[str, list[float]] = {"latents": [], "pixels": []}
        for _ in range(arguments.rounds):
            rates["latents"].append(rate(lambda: ours.step(z), len(z)))  # noqa: B023
            rates["pixels"].append(rate(lambda: theirs.step(images), len(images)))  # noqa: B023
        fast, slow = (statistics.median(values) for values in rates.values())
        print(
            f"{preset}, {config.model.image_size} px: stage 2 {fast:.1f} GROUPs/s, GZS-Net {slow:.2f} GROUPs/s,"
            f" ratio {fast / slow:.1f}"
        )


if __name__ == "__main__":
    main()
