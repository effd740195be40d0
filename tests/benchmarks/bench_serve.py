"""The edit service against the bare editor: latency added, throughput, fairness of continuous batching, the cache.

    python -m tests.benchmarks.bench_serve [--seconds 20]        (or `make bench-serve`)

A model of the size of `quick` with random weights is registered in a temporary folder and served as `make serve` does,
one replica on one thread. The bare editor runs on one thread in this process. Rounds alternate, so that a noisy machine
hits both alike. The service, its client and this process share the machine's cores.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import ray
import torch
from ray import serve

from diffusegae.checkpoint import CheckpointMeta, Position, save_checkpoint
from diffusegae.config.load import load_config
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.operations import Reconstruct
from diffusegae.images import encode_image
from diffusegae.models.autoencoder import DiffuseGAE
from diffusegae.pixels import to_pixels, to_tensor
from diffusegae.schema import Attribute, AttributeSchema
from jobs.cli import PRESETS, connect
from serve.models.replica import LoadedModel
from serve.tasks import GeneratedImages, Task
from tests.serve.running import ROOT, RunningService, register, running_service

SHORT, MEDIUM, LONG = 5, 20, 100
BATCHES = (1, 2, 4, 8, 16)
NUM_LONG, NUM_SHORT, STATIC_BATCH = 2, 4, 8
WARM_SECONDS = 3.0
GENERATOR = np.random.default_rng(0)


def random_checkpoint(folder: Path, storage: Path) -> tuple[Editor, Path]:
    """Write a checkpoint of `quick` with random weights; return its editor too."""
    config = load_config("quick", [f"storage={storage}"], PRESETS)
    attributes = tuple(
        Attribute(
            name=name,
            column=spec.column or name,
            group_column=spec.group_column or name,
            values=("a", "b"),
            group_values=("a", "b"),
            width=spec.width,
        )
        for name, spec in config.data.attributes.items()
    )
    schema = AttributeSchema(attributes=attributes)
    torch.manual_seed(0)
    model = DiffuseGAE(config.model, schema)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    meta = CheckpointMeta(
        stage="finetune", samples_seen=0, positions=(Position(),), config=config, attributes=schema, versions={}
    )
    save_checkpoint(folder, meta, {"ema": model.state_dict()})
    return Editor(model, config, schema), folder


def picture() -> np.ndarray[Any, Any]:
    """Return a picture that no cache knows."""
    return GENERATOR.integers(0, 256, (32, 32, 3), np.uint8)


def reconstruct(client: httpx.Client, url: str, pixels: np.ndarray[Any, Any], steps: int, noise: str) -> bytes:
    """Have the service reconstruct a picture."""
    files = {"source": ("s.png", encode_image(pixels))}
    answer = client.post(f"{url}/v1/reconstruct", files=files, data={"steps": str(steps), "x_T": noise}, timeout=120)
    answer.raise_for_status()
    return answer.content


def bare(editor: Editor, pixels: np.ndarray[Any, Any], steps: int, batch: int = 1) -> list[bytes]:
    """Do the same with the editor alone, encoding included; any number of times at once."""
    quick = editor.with_sampling(editor.sampling.model_copy(update={"steps": steps}))
    images = to_tensor(pixels)[None].expand(batch, -1, -1, -1)
    return [encode_image(each) for each in to_pixels(quick.reconstruct(images, seeds=[0] * batch))]


def timed(work: Callable[[], Any]) -> float:
    """Return how long a call takes in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def percentile(values: list[float], percent: float) -> float:
    """Return a percentile in milliseconds."""
    return 1000 * float(np.percentile(values, percent))


def measure_latency(service: RunningService, editor: Editor, rounds: int = 10, calls: int = 30) -> None:
    """Compare single requests of a few steps."""
    served: list[float] = []
    alone: list[float] = []
    with httpx.Client() as client:
        reconstruct(client, service.url, picture(), SHORT, "random")
        for _ in range(rounds):
            served += [
                timed(lambda: reconstruct(client, service.url, picture(), SHORT, "random")) for _ in range(calls)
            ]
            alone += [timed(lambda: bare(editor, picture(), SHORT)) for _ in range(calls)]
    added = [percentile(served, percent) - percentile(alone, percent) for percent in (50, 99)]
    print(f"one client, {SHORT} steps: service p50 {percentile(served, 50):.1f}, p99 {percentile(served, 99):.1f} ms;")
    print(f"  bare editor p50 {percentile(alone, 50):.1f}, p99 {percentile(alone, 99):.1f} ms")
    print(f"latency added, p50 / p99        {added[0]:.1f} / {added[1]:.1f} ms")


def measure_throughput(service: RunningService, editor: Editor, seconds: float, clients: int = 16) -> None:
    """Compare pictures per second of many clients with the editor's at its best batch."""
    rates: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    served: list[float] = []
    for _ in range(2):
        served.append(_rate(service, clients, seconds))
        for batch, found in rates.items():
            work = partial(bare, editor, picture(), MEDIUM, batch)
            found.append(statistics.median(batch / timed(work) for _ in range(5)))
    best = max(rates, key=lambda batch: statistics.median(rates[batch]))
    alone, through = statistics.median(rates[best]), statistics.median(served)
    print(
        f"{clients} clients, {MEDIUM} steps: service {through:.1f} pictures/s; bare editor {alone:.1f} at batch {best}"
    )
    print(f"throughput, service ÷ bare      {through / alone:.3f}")


def _rate(service: RunningService, clients: int, seconds: float) -> float:
    """Return how many answers come per second once all clients are under way."""
    done: list[float] = []
    begin = time.monotonic() + WARM_SECONDS
    end = begin + seconds

    def ask() -> None:
        with httpx.Client() as client:
            while time.monotonic() < end:
                reconstruct(client, service.url, picture(), MEDIUM, "random")
                done.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(begin <= when < end for when in done) / seconds


def measure_cache(service: RunningService, sources: int = 20) -> None:
    """Compare the first edit of a source with the next one, whose x_T is known."""
    first: list[float] = []
    again: list[float] = []
    with httpx.Client() as client:
        for _ in range(sources):
            pixels = picture()
            for times in (first, again):
                times.append(timed(lambda: reconstruct(client, service.url, pixels, MEDIUM, "inferred")))  # noqa: B023
    ratio = statistics.median(again) / statistics.median(first)
    print(f"repeated source: first {percentile(first, 50):.0f} ms, again {percentile(again, 50):.0f} ms")
    print(f"cached, repeated ÷ first        {ratio:.3f}")


class StaticBatcher:
    """What `@serve.batch` gives: requests that came together are done together, those of equal steps in one batch."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor

    @serve.batch(max_batch_size=STATIC_BATCH, batch_wait_timeout_s=0.005)
    async def generate(self, tasks: list[Task]) -> list[GeneratedImages]:
        """Do a batch off the event loop; all of it is answered when all of it is done."""
        return await asyncio.to_thread(self._do, tasks)

    def _do(self, tasks: list[Task]) -> list[GeneratedImages]:
        results: dict[int, GeneratedImages] = {}
        for steps in {task.sampling.steps for task in tasks}:
            places = [place for place, task in enumerate(tasks) if task.sampling.steps == steps]
            quick = self._editor.with_sampling(self._editor.sampling.model_copy(update={"steps": steps}))
            images = torch.cat([tasks[place].operation.source for place in places])
            pixels = to_pixels(quick.reconstruct(images, seeds=[0] * len(places)))
            results |= {place: GeneratedImages(pixels[row : row + 1], "static") for row, place in enumerate(places)}
        return [results[place] for place in range(len(tasks))]


class Continuous:
    """What the service's replicas do, as a deployment beside `StaticBatcher`."""

    def __init__(self, editor: Editor) -> None:
        self._model = LoadedModel(editor, {}, "continuous", max_images=STATIC_BATCH, cache_bytes=0)

    async def generate(self, task: Task) -> GeneratedImages:
        """Do a task in company."""
        return await self._model.generate(task)


def measure_fairness(editor: Editor, seconds: float) -> None:
    """Compare how long short requests take beside long ones: continuous batching, and static batches of that size."""
    os.environ.setdefault("PYTHONPATH", str(ROOT))
    connect("")
    times: dict[str, list[float]] = {}
    handles = {
        kind.__name__: serve.run(
            serve.deployment(max_ongoing_requests=64)(kind).bind(editor), name=kind.__name__, route_prefix=None
        )
        for kind in (Continuous, StaticBatcher)
    }
    for _ in range(2):
        for name, handle in handles.items():
            times.setdefault(name, []).extend(asyncio.run(_short_times(handle.generate.remote, seconds)))
    serve.shutdown()
    ray.shutdown()
    continuous, static = (percentile(found, 99) for found in times.values())
    print(f"{NUM_SHORT} clients of {SHORT} steps beside {NUM_LONG} of {LONG}: p99 of the short ones")
    print(f"  continuous batching {continuous:.0f} ms, static batches {static:.0f} ms")
    print(f"continuous ÷ static             {continuous / static:.3f}")


async def _short_times(generate: Callable[[Task], Any], seconds: float) -> list[float]:
    times: list[float] = []
    stop = time.monotonic() + seconds

    async def ask(steps: int) -> None:
        while time.monotonic() < stop:
            started = time.perf_counter()
            await generate(Task(Reconstruct(to_tensor(picture())[None], [0]), SamplingConfig(steps=steps)))
            if steps == SHORT:
                times.append(time.perf_counter() - started)

    await asyncio.gather(*(ask(steps) for steps in [LONG] * NUM_LONG + [SHORT] * NUM_SHORT))
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of each load")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        editor, checkpoint = random_checkpoint(folder / "checkpoint", folder)
        measure_fairness(editor, arguments.seconds)
        tracking = register(editor.config, [checkpoint])
        with running_service(folder, tracking, "--argument", "max_replicas=1") as service:
            measure_latency(service, editor)
            measure_cache(service)
            measure_throughput(service, editor, arguments.seconds)


if __name__ == "__main__":
    main()
