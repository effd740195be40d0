"""Decoding by a pool of threads against one thread, and against `Image.open` in one, in paired alternating rounds.

    python -m tests.benchmarks.bench_decode [--size 128] [--encoding jpeg] [--threads 2] [--rounds 15]

Prints the medians and the median of the rounds' ratios; beside them what two processes gain by decoding side by side,
which no pool of threads on the same machine in the same minutes could exceed.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from PIL import Image

from diffusegae.data.vehicles.render import VehicleWorld
from diffusegae.images import decode_batch, encode_image

IMAGES, REPEATS = 128, 8  # of a batch, and batches of a round


def encoded_images(size: int, encoding: str) -> list[bytes]:
    """Return a batch of encoded vehicles."""
    pixels = VehicleWorld(num_backgrounds=IMAGES, size=size).render_layer(0, 0, 0)
    return [encode_image(image, encoding) for image in pixels[:IMAGES]]  # type: ignore[arg-type]


def open_images(encoded: Sequence[bytes], size: int) -> np.ndarray:
    """Decode by `Image.open`, one image after another."""
    pixels = np.empty((len(encoded), size, size, 3), np.uint8)
    for row, data in enumerate(encoded):
        with Image.open(io.BytesIO(data)) as image:
            pixels[row] = np.asarray(image)
    return pixels


def seconds(work: Callable[[], object]) -> float:
    """Return how long a round of batches takes."""
    started = time.perf_counter()
    for _ in range(REPEATS):
        work()
    return time.perf_counter() - started


def decode_alone(encoded: list[bytes], size: int) -> float:
    """Return the time of a round in one thread, in whatever process calls it."""
    return seconds(lambda: decode_batch(encoded, size))


def main() -> None:
    """Print images per second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--encoding", choices=["jpeg", "png", "webp"], default="jpeg")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    encoded, size, threads = encoded_images(asked.size, asked.encoding), asked.size, asked.threads
    ways: dict[str, Callable[[], object]] = {
        "Image.open, one thread": lambda: open_images(encoded, size),
        "decode_batch, one thread": lambda: decode_batch(encoded, size),
        f"decode_batch, {threads} threads": lambda: decode_batch(encoded, size, threads),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    machine: list[float] = []
    with ProcessPoolExecutor(threads, get_context("spawn")) as processes:
        for _ in range(asked.rounds):
            for name, work in ways.items():
                taken[name].append(seconds(work))
            alone = processes.submit(decode_alone, encoded, size).result()
            beside = [processes.submit(decode_alone, encoded, size) for _ in range(threads)]
            machine.append(threads * alone / max(part.result() for part in beside))
    *_, pool = taken.values()
    print(f"{size} px {asked.encoding}, {np.mean([len(data) for data in encoded]):,.0f} bytes each")
    for name, values in taken.items():
        rate = IMAGES * REPEATS / statistics.median(values)
        gain = statistics.median(one / many for one, many in zip(values, pool, strict=True))
        print(f"{name}: {rate:,.0f} images/s; the pool is {gain:.2f} times as fast")
    print(f"{threads} processes on this machine: {statistics.median(machine):.2f} times as fast as one")


if __name__ == "__main__":
    main()
