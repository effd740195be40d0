"""Training from S3 against training from a local folder, and a listing of 100,000 keys.

    python -m tests.benchmarks.bench_storage [--samples 6400]

A real S3-speaking server runs beside it, on the same cores. Stage 1 of `quick` in alternating rounds; the figure is the
ratio of the medians of the reports' rates. The listing's memory is what this process grows by while it goes through.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from diffusegae import storage
from diffusegae.config.load import load_config
from diffusegae.pipeline import Pipeline
from jobs.cli import PRESETS, connect
from tests.benchmarks.rates import pretrain_rates
from tests.storage_server import BUCKET, running_server

NUM_KEYS = 100_000


@contextmanager
def bucket(keys: int) -> Iterator[str]:
    """Serve S3 with one bucket that holds a number of empty objects below `many/`; give the bucket's URI."""
    with running_server(keys) as endpoint:
        os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_ENDPOINT_URL=endpoint)
        yield f"s3://{BUCKET}"


def list_keys(uri: str) -> None:
    """Go through the listing and print what it took."""
    next(storage.iterate_files(uri))
    before, largest, count, started = psutil.Process().memory_info().rss, 0, 0, time.perf_counter()
    for _ in storage.iterate_files(uri):
        count += 1
        if count % 1000 == 0:
            largest = max(largest, psutil.Process().memory_info().rss)
    assert count == NUM_KEYS
    seconds, grown = time.perf_counter() - started, max(0, largest - before) / 1e6
    print(f"listing of {count:,} keys   {seconds:7.1f} s, memory grew by {grown:.1f} MB")


def rates_of(root: str, name: str, tracking: str, samples: int) -> list[float]:
    """Return the samples/s of each report but the first."""
    overrides = [
        f"storage={root}",
        f"name={name}",
        f"tracking.uri={tracking}",
        f"pretrain.num_samples={samples}",
        f"pretrain.report_every_samples={samples // 5}",
        f"pretrain.checkpoint_every_samples={samples}",
    ]
    pipeline = Pipeline(load_config("quick", overrides, PRESETS))
    pipeline.ingest()
    pipeline.train("pretrain")
    return pretrain_rates(pipeline)[1:]


def main() -> None:
    """Run the rounds and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=6400)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {"local": [], "s3": []}
    with tempfile.TemporaryDirectory() as folder, bucket(NUM_KEYS) as remote:
        list_keys(f"{remote}/many")
        connect("")
        roots = {"local": folder, "s3": f"{remote}/runs"}
        for number in range(arguments.rounds):
            for kind, found in rates.items():
                found += rates_of(roots[kind], f"{kind}-{number}", f"sqlite:///{folder}/mlflow.db", arguments.samples)
    local, s3 = (statistics.median(found) for found in rates.values())
    print(f"local storage               {local:7.1f} images/s {[round(rate) for rate in rates['local']]}")
    print(f"S3                          {s3:7.1f} images/s {[round(rate) for rate in rates['s3']]}")
    print(f"ratio                       {s3 / local:7.3f}")


if __name__ == "__main__":
    main()
