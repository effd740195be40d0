"""Two workers on two nodes against one worker with the same global batch, on the same cores, by `ray job submit`.

    python -m tests.benchmarks.bench_nodes [--samples 1920]

A real cluster of two nodes on this machine. Stage 1 of `quick`: one worker of two threads, then two workers of one
thread each on different nodes, in alternating rounds; the figure is the ratio of the medians of the reports' rates.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from diffusegae.config.load import load_config
from diffusegae.pipeline import Pipeline
from jobs.cli import PRESETS
from tests.benchmarks.rates import pretrain_rates
from tests.nodes import NodeCluster

KINDS = {
    1: ("resources.num_workers=1", "resources.cpus_per_worker=2"),
    2: ("resources.num_workers=2", "resources.cpus_per_worker=1", "resources.placement=SPREAD"),
}


def rates_of(cluster: NodeCluster, storage: str, workers: int, number: int, samples: int) -> list[float]:
    """Return the samples/s of each report but the first of a submitted run."""
    overrides = [
        f"storage={storage}",
        f"name=run-{workers}-{number}",
        f"pretrain.num_samples={samples}",
        f"pretrain.report_every_samples={samples // 6}",
        "pretrain.checkpoint_every_samples=100000000",
        *KINDS[workers],
    ]
    words = " ".join(f"--set {word}" for word in overrides)
    log = Path(storage) / f"{workers}-{number}.log"
    cluster.run(f"python jobs/ingest.py --config quick {words}", log)
    cluster.run(f"python jobs/train.py --config quick --stage pretrain {words}", log)
    return pretrain_rates(Pipeline(load_config("quick", overrides, PRESETS)))[1:]


def main() -> None:
    """Run the rounds and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1920)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as storage, NodeCluster() as cluster:
        cluster.start_head(cpus=3)
        cluster.add_node(cpus=3)
        for number in range(arguments.rounds):
            for workers, found in rates.items():
                found += rates_of(cluster, storage, workers, number, arguments.samples)
    one, two = (statistics.median(found) for found in rates.values())
    print(f"one worker, two threads        {one:7.1f} images/s {[round(rate) for rate in rates[1]]}")
    print(f"two workers on two nodes       {two:7.1f} images/s {[round(rate) for rate in rates[2]]}")
    print(f"ratio                          {two / one:7.3f}")


if __name__ == "__main__":
    main()
