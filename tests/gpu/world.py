"""Vehicles held in memory: rendered by all cores, split by the data's own hash, their pixels uint8 on the device."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.data.feed import Columns, Feed, FeedBatch, GroupSampler, sample_rows
from diffusegae.data.lookup import ImageLookup
from diffusegae.data.records import Skipped
from diffusegae.data.shards import LabelTable, Manifest, Recipe
from diffusegae.data.sources.vehicles import VehicleSource
from diffusegae.data.splits import Holdout, Strata, Stratum, is_held_out, resolve_holdout
from diffusegae.schema import AttributeSchema
from tests.gpu.samples import schema_of, vehicle_source

ROWS_PER_UNIT = 1024  # so many are rendered at a time: small enough that the last unit keeps no core waiting


@dataclass(frozen=True)
class World:
    """All vehicles of a config: pixels, labels and who is held out, in the order of rendering."""

    config: PipelineConfig
    pixels: UInt8[np.ndarray, "rows size size 3"]
    labels: dict[str, Int[np.ndarray, " rows"]]
    held_out: Bool[np.ndarray, " rows"]
    holdout: Holdout

    @cached_property
    def schema(self) -> AttributeSchema:
        """The attributes as the vehicles have them."""
        return schema_of(self.config)

    def rows(self, held_out: bool) -> Int[np.ndarray, " some"]:
        """Return the rows of one side of the split."""
        return np.flatnonzero(self.held_out == held_out)


def render_world(config: PipelineConfig, processes: int = 0) -> World:
    """Render every combination; 0 processes means one per core."""
    source = VehicleSource(vehicle_source(config).world, ROWS_PER_UNIT)
    units = range(source.num_units)
    processes = min(processes or len(os.sched_getaffinity(0)), len(units))
    if processes == 1:
        parts = [_render(source, unit) for unit in units]
    else:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            parts = list(pool.map(partial(_render, source), units))
    keys = [key for _, part, _ in parts for key in part]
    labels = {name: np.concatenate([labels[name] for _, _, labels in parts]) for name in source.vocabularies}
    found = source.combinations(tuple(source.vocabularies))
    holdout = resolve_holdout(config.data.holdout, schema_of(config), found)
    strata = Strata(holdout, source.vocabularies).of(labels)
    return World(
        config=config,
        pixels=np.concatenate([pixels for pixels, _, _ in parts]),
        labels=labels,
        held_out=is_held_out(keys, holdout.images) | (strata != Stratum.SEEN),
        holdout=holdout,
    )


def _render(
    source: VehicleSource, unit: int
) -> tuple[UInt8[np.ndarray, "rows size size 3"], list[str], dict[str, Int[np.ndarray, " rows"]]]:
    codes = {name: {value: code for code, value in enumerate(known)} for name, known in source.vocabularies.items()}
    images = [image for image in source.read(unit) if not isinstance(image, Skipped)]
    labels = {
        name: np.array([known[image.labels[name]] for image in images], np.int32) for name, known in codes.items()
    }
    return np.stack([image.content for image in images]), [image.key for image in images], labels


class MemoryWindow:
    """The rows of one side of the split as the feed wants them: it hands out their numbers, the pixels stay."""

    def __init__(self, world: World, held_out: bool) -> None:
        self._rows = world.rows(held_out)
        self._labels = np.stack([world.labels[name][self._rows] for name in world.schema.group_columns], axis=1)

    @property
    def num_rows(self) -> int:
        """Rows of this side."""
        return len(self._rows)

    def labels(self) -> Int[np.ndarray, "rows attributes"]:
        """Return the GROUP labels of all rows."""
        return self._labels

    def take(self, rows: Int[np.ndarray, " count"]) -> Columns:
        """Return the rows' numbers in the world."""
        return {"row": self._rows[rows]}

    def windows(self, epoch: int, first: int) -> Iterator["MemoryWindow"]:
        """Yield itself, the only window of every epoch."""
        yield self


def plan_batches(world: World, shared: int | None, batch_size: int, held_out: bool = False) -> Iterator[FeedBatch]:
    """Return the batches of row numbers in the order that the real feed gives them, for ever."""
    sampler = GroupSampler(shared) if shared else sample_rows
    seed = world.config.seed
    return Feed([MemoryWindow(world, held_out)], sampler, batch_size=batch_size, seed=seed).batches()


class MemoryLookup(ImageLookup):
    """The judge's access to a world in memory."""

    def __init__(self, world: World, labels: LabelTable | None = None) -> None:
        super().__init__("memory", _manifest(world), labels)
        self.world = world

    def restricted(self, labels: LabelTable) -> "MemoryLookup":
        """Return a lookup that knows the rows of a table alone."""
        return MemoryLookup(self.world, labels)

    @cached_property
    def labels(self) -> LabelTable:
        """Labels and split of all rows, or of those that are known."""
        if self._given is not None:
            return self._given
        count = len(self.world.held_out)
        return LabelTable(
            columns=self.world.labels,
            held_out=self.world.held_out,
            shard=np.zeros(count, np.int32),
            row=np.arange(count, dtype=np.int32),
        )

    def take(self, rows: Int[np.ndarray, " count"]) -> UInt8[np.ndarray, "count size size 3"]:
        """Return the pixels of rows."""
        return self.world.pixels[self.labels.row[rows]]


def _manifest(world: World) -> Manifest:
    data, vocabularies = world.config.data, vehicle_source(world.config).vocabularies
    recipe = Recipe(
        source="vehicles",
        source_config=data.source.absolute(),
        columns=tuple(vocabularies),
        image_size=world.config.model.image_size,
        encoding=data.encoding,
        quality=0,
        holdout=data.holdout.model_dump(mode="json"),
        shard_rows=data.shard_rows,
    )
    strata = Strata(world.holdout, vocabularies).of(world.labels)[world.held_out]
    counts, train_counts = (
        {
            name: tuple(np.bincount(world.labels[name][rows], minlength=len(known)).tolist())
            for name, known in vocabularies.items()
        }
        for rows in (slice(None), ~world.held_out)
    )
    return Manifest(
        recipe=recipe,
        source_fingerprint=repr(vehicle_source(world.config).world),
        columns=vocabularies,
        value_counts=counts,
        train_counts=train_counts,
        holdout=world.holdout,
        held_counts=tuple(np.bincount(strata, minlength=len(Stratum)).tolist()),
        num_rows=len(world.held_out),
        num_train=int((~world.held_out).sum()),
        shards=(),
        skipped={},
    )


def rows_on(device: torch.device, rows: Sequence[int] | Int[np.ndarray, " count"]) -> Tensor:
    """Copy row numbers to the device without waiting for it."""
    numbers = torch.as_tensor(np.asarray(rows), dtype=torch.int64)
    return numbers.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else numbers
