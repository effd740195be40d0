"""Rows of inference: how long one edit takes, and how many pictures a second come of sixteen at a time."""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from diffusegae.config.inference import InferenceConfig
from diffusegae.config.model import SamplingConfig
from diffusegae.editing.editor import Editor
from diffusegae.editing.engine import Engine
from diffusegae.editing.operations import Edit
from diffusegae.models.autoencoder import DiffuseGAE
from tests.gpu.bench_row import Row
from tests.gpu.machine import synchronise
from tests.gpu.samples import random_batch, schema_of, shake
from tests.gpu.sizes import preset

SAMPLING = SamplingConfig(sampler="dpm++", steps=25)  # 25 to infer x_T and 25 to generate
ONE, MANY = 1, 16
CACHE_BYTES = 0  # each edit is computed


def rows(device: torch.device, seconds: float) -> list[Row]:
    """Return a row for each way to call the network, and one of the engine that a service runs."""
    if device.type != "cuda":
        return [Row("smoke edit, float32 none", 5.0, partial(_edits, "smoke", InferenceConfig(), device, seconds))]
    ways: dict[str, tuple[float, InferenceConfig]] = {
        "float16 captured": (2.5, InferenceConfig(precision="float16", acceleration="captured")),
        "float16 none": (5.0, InferenceConfig(precision="float16")),
        "bfloat16 captured": (11.0, InferenceConfig(precision="bfloat16", acceleration="captured")),
        "float32 none": (11.1, InferenceConfig()),
        "float16 compiled": (
            7.5,
            InferenceConfig(precision="float16", acceleration="compiled", sizes=(ONE, MANY)),
        ),
    }
    found = [
        Row(
            f"vehicles64 edit, {name}",
            rank,
            partial(_edits, "vehicles64", way, device, seconds),
            90.0 if way.acceleration == "compiled" else 15.0,
        )
        for name, (rank, way) in ways.items()
    ]
    served = ways["float16 captured"][1]
    found.append(Row("vehicles64 engine, 16 requests", 2.6, partial(_engine, served, device, seconds), 15.0))
    found.append(Row("paper edit, float16 captured", 6.5, partial(_edits, "paper", served, device, seconds), 25.0))
    return found


def _edits(name: str, way: InferenceConfig, device: torch.device, seconds: float) -> dict[str, float]:
    editor = _editor(name, way, device)
    one, many = (median_seconds(_edit_of(editor, count), device, seconds / 2) for count in (ONE, MANY))
    return {
        "edit ms, batch 1": 1000 * one,
        "edit ms, batch 16": 1000 * many,
        "pictures/s": MANY / many,
        **_memory(device),
    }


def _edit_of(editor: Editor, count: int) -> Callable[[], object]:
    """Return what edits so many pictures, from the host's memory and back."""
    images = random_batch(editor.config, "pretrain", count, torch.device("cpu")).flatten(0, 1)
    donors = {editor.schema.names[-1]: images.flip(-1)}
    return lambda: editor.edit(images, donors).cpu()


def _engine(way: InferenceConfig, device: torch.device, seconds: float) -> dict[str, float]:
    """Return pictures/s of sixteen requests for one picture each, all at once."""
    editor = _editor("vehicles64", way, device)
    images = random_batch(editor.config, "pretrain", MANY, torch.device("cpu")).flatten(0, 1)
    name = editor.schema.names[-1]
    engine = Engine(editor, max_images=MANY, cache_bytes=CACHE_BYTES)

    def serve() -> None:
        edits = [Edit(image[None], {name: image[None].flip(-1)}) for image in images]
        for request in [engine.submit(edit, SAMPLING) for edit in edits]:
            request.future.result(timeout=60).cpu()

    try:
        taken = median_seconds(serve, device, seconds)
    finally:
        engine.close()
    return {"edit ms, batch 16": 1000 * taken, "pictures/s": MANY / taken, **_memory(device)}


def _editor(name: str, way: InferenceConfig, device: torch.device) -> Editor:
    torch.manual_seed(0)
    config = preset(name)
    schema = schema_of(config)
    model = DiffuseGAE(config.model, schema)
    shake(model)
    editor = Editor(model, config, schema, device, SAMPLING, way)
    editor.warm_up()
    return editor


def median_seconds(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return the median duration of a call that is repeated for so many seconds, at least three times, after one."""
    call()
    taken: list[float] = []
    stop = time.monotonic() + seconds
    while len(taken) < 3 or time.monotonic() < stop:
        synchronise(device)
        started = time.perf_counter()
        call()
        synchronise(device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _memory(device: torch.device) -> dict[str, float]:
    return {"GPU GiB": torch.cuda.max_memory_allocated(device) / 2**30} if device.type == "cuda" else {}
