"""Training through Ray Train and Ray Data against a bare torch loop of the same model and batch, in one run.

    python -m tests.benchmarks.bench_train [--samples 3200]

Both run stage 1 of `quick` on the same threads. Rounds alternate, so that a noisy machine hits both alike; the figure
is the ratio of the medians. Ray's start-up is printed beside it and not part of the ratio.
"""

import argparse
import statistics
import tempfile
import time

import numpy as np
import torch

from diffusegae.config.load import load_config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.data.shards import read_manifest
from diffusegae.layout import Layout
from diffusegae.pipeline import Pipeline
from diffusegae.pixels import to_tensor
from diffusegae.schema import AttributeSchema
from diffusegae.training.stages import StageInputs
from diffusegae.training.step import TrainingState
from diffusegae.training.table import STAGES
from jobs.cli import PRESETS, connect
from tests.benchmarks.rates import pretrain_rates


def through_ray(storage: str, samples: int, number: int) -> tuple[list[float], float]:
    """Return samples/s of each report after the first, and the seconds of the whole call beyond its steps."""
    config = load_config(
        "quick",
        [
            f"storage={storage}",
            f"pretrain.num_samples={samples}",
            f"pretrain.report_every_samples={samples // 5}",
            "pretrain.checkpoint_every_samples=1000000",
            f"seed={number}",
            f"name=ray-{number}",
        ],
        PRESETS,
    )
    pipeline = Pipeline(config)
    pipeline.ingest()
    started = time.perf_counter()
    pipeline.train("pretrain")
    seconds = time.perf_counter() - started
    rates = pretrain_rates(pipeline)
    steps = sum(samples / 5 / rate for rate in rates)
    return rates[1:], seconds - steps


def bare(config: PipelineConfig, schema: AttributeSchema, images: torch.Tensor, samples: int) -> list[float]:
    """Return samples/s of a plain loop over decoded images in memory, the first fifth left out."""
    torch.set_num_threads(int(config.resources.cpus_per_worker))
    torch.manual_seed(0)
    state = TrainingState(
        STAGES["pretrain"](StageInputs(config, schema)), torch.device("cpu"), lambda module: module, 0
    )
    batch, rates = config.pretrain.batch_size, []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(samples // 5 // batch):
            rows = torch.randint(0, len(images), (batch,))
            state.step(images[rows][:, None])
        rates.append(samples // 5 // batch * batch / (time.perf_counter() - started))
    return rates[1:]


def main() -> None:
    """Run three rounds and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=3200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    connect("")
    ray_rates, bare_rates, overheads = [], [], []
    with tempfile.TemporaryDirectory() as storage:
        for number in range(arguments.rounds):
            rates, overhead = through_ray(storage, arguments.samples, number)
            ray_rates += rates
            overheads.append(overhead)
            config = load_config("quick", [f"storage={storage}", f"name=ray-{number}"], PRESETS)
            layout = Layout.of(config)
            images = to_tensor(ImageLookup(layout.images, read_manifest(layout.images)).take(np.arange(4096)))
            bare_rates += bare(config, Pipeline(config).schema, images, arguments.samples)
    through, alone = statistics.median(ray_rates), statistics.median(bare_rates)
    print(f"Ray Train and Ray Data  {through:7.1f} images/s (median of {len(ray_rates)})")
    print(f"bare torch loop         {alone:7.1f} images/s (median of {len(bare_rates)})")
    print(f"ratio                   {through / alone:7.3f}")
    print(f"start-up and shut-down  {statistics.median(overheads):7.1f} s per stage, not in the ratio")


if __name__ == "__main__":
    main()
