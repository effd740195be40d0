"""All benchmarks, one after another: python tests/benchmarks/run.py (or `make bench`)."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("bench_train.py", "bench_groups.py", "bench_ingest.py")


def main() -> None:
    """Run each benchmark in a process of its own."""
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(name))], check=True)


if __name__ == "__main__":
    main()
