"""Ingest of rendered toy vehicles at 32 and 64 px: python tests/benchmarks/bench_ingest.py.

Prints the seconds of start-up and of the ingest itself (rendering, PNG encoding, writing) for 13,320 images at 32 px
and 58,608 at 64 px.
"""

import tempfile
import time

from diffusegae.config.data import DataConfig
from diffusegae.data.sources.vehicles import VehiclesConfig
from jobs.cli import connect

SETS = {
    32: VehiclesConfig(num_kinds=10, num_instances=2, num_backgrounds=111, num_poses=6),
    64: VehiclesConfig(num_kinds=11, num_instances=6, num_backgrounds=111, num_poses=8),
}


def main() -> None:
    """Ingest both sets into a temporary folder and print a row for each."""
    started = time.perf_counter()
    connect("")
    print(f"Ray's start-up {time.perf_counter() - started:6.1f} s")
    from diffusegae.data.ingest import ingest

    for size, vehicles in SETS.items():
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            manifest = ingest(DataConfig(source=vehicles), size, folder)
            print(f"{manifest.num_rows:7,} images at {size} px {time.perf_counter() - started:6.1f} s")


if __name__ == "__main__":
    main()
