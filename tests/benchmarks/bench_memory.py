"""Memory of the driver and of a training worker over an epoch of a million images, of the size of `smoke`'s.

    python -m tests.benchmarks.bench_memory [--rows 1250000]

Renders and ingests the rows, then trains stage 1 of `smoke` over each of them once, in large batches. The resident
memory of both processes is read every second, without the pages that they share with the object store; the figure is
the mean of the last quarter of the epoch over that of the second.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from diffusegae.config.load import load_config
from diffusegae.pipeline import Pipeline
from jobs.cli import PRESETS
from tests.nodes import find_workers

BATCH, BACKGROUNDS, POSES, KINDS = 512, 625, 16, 10


def overrides_of(storage: str, rows: int) -> list[str]:
    """Return what the config needs to have this many rows and to see each of those not held out once."""
    instances = -(-rows // (BACKGROUNDS * POSES * KINDS))
    vehicles = f"num_kinds: {KINDS}, num_instances: {instances}, num_backgrounds: {BACKGROUNDS}, num_poses: {POSES}"
    return [
        f"storage={storage}",
        f"data.source={{kind: vehicles, {vehicles}}}",
        "data.shard_rows=10000",
        "data.window_rows=50000",
        f"pretrain.batch_size={BATCH}",
        f"pretrain.report_every_samples={100 * BATCH}",
        f"pretrain.checkpoint_every_samples={200 * BATCH}",
        "pretrain.grid_every_samples=1000000000",
    ]


def watch(process: subprocess.Popen[bytes]) -> dict[str, list[float]]:
    """Return the memory in MB of the driver and of its worker, read every second until the job ends."""
    found: dict[str, list[float]] = {"driver": [], "worker": []}
    while process.poll() is None:
        try:
            workers = find_workers(process.pid)
            if workers:
                found["driver"].append(own_megabytes(psutil.Process(process.pid)))
                found["worker"].append(own_megabytes(workers[0]))
        except psutil.Error:
            continue
        time.sleep(1)
    assert process.returncode == 0, "the job failed"
    return found


def own_megabytes(process: psutil.Process) -> float:
    """Return a process' resident memory without what it shares with others."""
    info = process.memory_info()
    return float(info.rss - info.shared) / 1e6


def main() -> None:
    """Train an epoch and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_250_000, help="of the whole set, of which a fifth is held out")
    parser.add_argument("--storage", default="", help="where to keep the rows; a temporary folder by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        storage = arguments.storage or temporary
        words = overrides_of(storage, arguments.rows)
        command = [sys.executable, "jobs/ingest.py", "--config", "smoke"]
        subprocess.run([*command, *(part for word in words for part in ("--set", word))], check=True)
        train = Pipeline(load_config("smoke", words, PRESETS)).manifest.num_train
        words.append(f"pretrain.num_samples={train}")
        command = [sys.executable, "jobs/train.py", "--config", "smoke", "--stage", "pretrain"]
        command += [part for word in words for part in ("--set", word)]
        with (Path(temporary) / "train.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
            found = watch(process)
    print(f"{train:,} rows, each seen once, in {len(found['worker'])} s")
    for name, megabytes in found.items():
        quarter = len(megabytes) // 4
        second, last = statistics.mean(megabytes[quarter : 2 * quarter]), statistics.mean(megabytes[-quarter:])
        print(f"{name}: second quarter {second:.0f} MB, last {last:.0f} MB, ratio {last / second:.3f}")


if __name__ == "__main__":
    main()
