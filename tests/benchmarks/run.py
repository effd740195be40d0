"""All benchmarks, one after another: python tests/benchmarks/run.py (or `make bench`)."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BENCHMARKS = (
    "bench_train",
    "bench_contention",
    "bench_unet",
    "bench_groups",
    "bench_latents",
    "bench_decode",
    "bench_ingest",
    "bench_checkpoint",
    "bench_nodes",
    "bench_storage",
    "bench_memory",
    "bench_scaling",
    "bench_serve",
)


def main() -> None:
    """Run each benchmark in a process of its own."""
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
