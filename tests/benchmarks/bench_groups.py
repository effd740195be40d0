"""GROUP planning at full size: groups per second, seconds and peak memory, each table in a process of its own.

Run: python tests/benchmarks/bench_groups.py [--rows 1000000 20000000]

Bars: 1 million groups/s on one core; 20 million rows indexed and planned within 60 s and 2 GiB beyond the labels.
"""

import argparse
import multiprocessing
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffusegae.data.groups import GroupIndex

TABLES = {
    "iLab-20M: 718 instances, 111 backgrounds, 88 poses": (718, 111, 88),
    "iLab subset: 10 categories, 111 backgrounds, 6 poses": (10, 111, 6),
    "skewed: as iLab-20M, 99% of each attribute one value": (718, 111, 88),
}
GIB = 1 << 30


@dataclass(frozen=True)
class Measurement:
    """What one table cost; memory is the peak beyond interpreter, labels and centres: index, plan and temporaries.

    CPU seconds stand beside the wall clock because other work on the machine does not count against the planner.
    """

    index_seconds: float
    plan_seconds: float
    index_cpu_seconds: float
    plan_cpu_seconds: float
    num_groups: int
    peak_bytes: int


def make_labels(name: str, num_rows: int) -> np.ndarray:
    """Draw labels in random row order, the worst one for the caches; each instance has 14 to 40 backgrounds."""
    generator = np.random.default_rng(0)
    labels = np.empty((num_rows, 3), dtype=np.int32)
    for attribute, num_values in enumerate(TABLES[name]):
        labels[:, attribute] = generator.integers(0, num_values, num_rows, dtype=np.int32)
    if name.startswith("iLab-20M"):
        backgrounds = generator.permuted(np.tile(np.arange(111, dtype=np.int32), (718, 1)), axis=1)
        num_backgrounds = generator.integers(14, 41, 718, dtype=np.int32)
        labels[:, 1] = backgrounds[labels[:, 0], labels[:, 1] % num_backgrounds[labels[:, 0]]]
    if name.startswith("skewed"):
        for attribute in range(3):
            labels[generator.random(num_rows, dtype=np.float32) < 0.99, attribute] = 0
    return labels


def resident_bytes() -> int:
    """Return the memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(name: str, num_rows: int, shared: int) -> Measurement:
    """Index a table and plan one group around every row, in random order as an epoch does."""
    labels = make_labels(name, num_rows)
    generator = np.random.default_rng(1)
    centres = np.arange(num_rows, dtype=np.int32)
    generator.shuffle(centres)
    before = resident_bytes()
    start, start_cpu = time.perf_counter(), time.process_time()
    index = GroupIndex(labels, shared)
    built, built_cpu = time.perf_counter(), time.process_time()
    plan = index.plan(centres, generator)
    planned, planned_cpu = time.perf_counter(), time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Measurement(
        index_seconds=built - start,
        plan_seconds=planned - built,
        index_cpu_seconds=built_cpu - start_cpu,
        plan_cpu_seconds=planned_cpu - built_cpu,
        num_groups=len(plan.members),
        peak_bytes=peak - before,
    )


def main() -> None:
    """Measure every table at every size, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 20_000_000])
    parser.add_argument("--shared", type=int, default=1)
    arguments = parser.parse_args()
    seconds = f"{'index s':>8} {'(cpu)':>7} {'plan s':>8} {'(cpu)':>7} {'groups/s':>11} {'(cpu)':>11}"
    print(f"{'table':54} {'rows':>11} {'groups':>11} {seconds} {'peak GiB':>9}")
    context = multiprocessing.get_context("spawn")
    for num_rows in arguments.rows:
        for name in TABLES:
            with context.Pool(1) as pool:
                result = pool.apply(measure, (name, num_rows, arguments.shared))
            print(
                f"{name:54} {num_rows:11,} {result.num_groups:11,} "
                f"{result.index_seconds:8.2f} {result.index_cpu_seconds:7.2f} "
                f"{result.plan_seconds:8.2f} {result.plan_cpu_seconds:7.2f} "
                f"{result.num_groups / result.plan_seconds:11,.0f} "
                f"{result.num_groups / result.plan_cpu_seconds:11,.0f} "
                f"{result.peak_bytes / GIB:9.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
