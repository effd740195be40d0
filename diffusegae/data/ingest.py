"""Ingest: from a source of images to a data set of shards and a manifest, streamed, restartable, reported."""

import logging
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from diffusegae import storage
from diffusegae.config.data import DataConfig
from diffusegae.data.association import Association, find_associations
from diffusegae.data.findings import find, write_findings
from diffusegae.data.pipeline import run_units
from diffusegae.data.records import SourceError
from diffusegae.data.shards import (
    Manifest,
    Recipe,
    content_hash,
    has_manifest,
    is_shard,
    load_labels,
    manifest_uri,
    naming_notes,
    read_manifest,
    schema_of,
    write_manifest,
)
from diffusegae.data.skipped import SKIPPED, require_few, write_skipped
from diffusegae.data.sources.source import Opening, Source, SourceConfig
from diffusegae.data.splits import Holdout, Strata, Stratum, absent_values, require_trainable, resolve_holdout
from diffusegae.data.thumbnails import write_contact_sheet
from diffusegae.data.totals import Totals, done_units, read_prints
from diffusegae.data.units import UnitWriter
from diffusegae.forecast import Forecast, Workload
from diffusegae.schema import AttributeSchema, SchemaError, build_schema, source_column

_WORK_FOLDER = "_ingest"
_PROGRESS_SECONDS = 5.0
_logger = logging.getLogger(__name__)


class RecipeError(ValueError):
    """The address already holds a data set that another config made."""


class SourceChangedError(ValueError):
    """A data set whose source holds something else by now."""


def ingest(data: DataConfig, image_size: int, uri: str, rate: float = 0.0, *, refresh: bool = False) -> Manifest:
    """Make the data set that a config describes at `uri`, or finish one that was interrupted, on the running Ray.

    A data set that is already whole, of the same config and of a source that has not changed is returned at once, also
    when its source is gone by now. With `refresh` it is made anew from what the source holds. `rate`, in units (shards)
    per second, is known from before or 0; it serves the forecast alone.

    Raises:
        RecipeError: the address holds (part of) a data set of another config.
        SourceChangedError: the address holds the data set as its source was before it changed.
        SourceError: the source is missing, damaged, holds no usable image, or lacks a column.
        SkippedError: more of it can't be used than `data.max_skipped` allows; what could be is kept.
        SchemaError: an attribute reads a column that the data lacks, or has a single value.
        HoldoutError: the holdout names an unknown value, or leaves too little to train on.
    """
    root = storage.resolve(uri)
    work = storage.join(root, _WORK_FOLDER)
    recipe = make_recipe(data, image_size)
    if has_manifest(root):
        manifest = read_manifest(root)
        _require_same(recipe, manifest.recipe, root)
        if not refresh:
            require_few(manifest.skipped, manifest.num_rows, data.max_skipped, root)
            _require_unchanged(data.source, manifest, root)
            _logger.info("%s: already ingested, %s images", root, f"{manifest.num_rows:,}")
            return manifest
    state = data.source.state()
    _claim(recipe, state, root, work, refresh)
    index_uri = storage.join(work, "index")
    source = data.source.open(Opening(image_size, recipe.columns, data.shard_rows, index_uri, data.bins))
    split = _split(data, source, root, index_uri)
    records_uri = storage.join(work, "units")
    _run(UnitWriter(source, recipe, split.holdout, root, records_uri), done_units(records_uri), root, rate)
    manifest = _finish(data, recipe, source, state, split, root)
    storage.delete(work)
    storage.delete_unfinished(root)
    return manifest


class _Split(NamedTuple):
    """What is held out of a source, which values of each column are to have no training image, what goes together."""

    schema: AttributeSchema
    holdout: Holdout
    absent: Mapping[str, npt.NDArray[np.bool_]]
    associations: tuple[Association, ...]


def _split(data: DataConfig, source: Source, root: str, index_uri: str) -> _Split:
    """Resolve the holdout over the source's labels, before any image is read, and check that training keeps enough."""
    schema = build_schema(data.attributes, source.vocabularies)
    found = source.combinations(tuple(dict.fromkeys([*schema.columns, *schema.group_columns])))
    require_few(write_skipped(root, index_uri, ()), int(found.counts.sum()), data.max_skipped, root)
    holdout = resolve_holdout(data.holdout, schema, found)
    absent = absent_values(holdout, schema, found)
    seen = Strata(holdout, found.vocabularies).of(found.labels) == Stratum.SEEN
    require_trainable(schema, absent, found.images(), found.images(seen), data.named_values)
    return _Split(schema, holdout, absent, find_associations(schema, found))


def make_recipe(data: DataConfig, image_size: int) -> Recipe:
    """Return all of a config that decides which rows the data set holds."""
    return Recipe(
        source=data.source.kind,
        source_config=data.source.absolute(),
        columns=data.source.columns(data.attributes),
        bins=data.bins,
        image_size=image_size,
        resize=data.resize,
        background=data.background,
        encoding=data.encoding,
        quality=0 if data.encoding == "png" else data.quality,
        holdout=_holdout_config(data),
        shard_rows=data.shard_rows,
    )


def _holdout_config(data: DataConfig) -> dict[str, JsonValue]:
    """Return what is held out, with the columns of the attributes that it names."""
    specs = {name: data.attributes[name] for name in data.holdout.attributes}
    columns: dict[str, JsonValue] = {name: list(spec.columns(name)) for name, spec in specs.items()}
    return data.holdout.model_dump(mode="json") | {"columns": columns}


def _claim(recipe: Recipe, state: str, root: str, work: str, refresh: bool) -> None:
    """Note what the unfinished data set at an address is made of, or check that it is this; drop it if that changed."""
    note, state_note = storage.join(work, "recipe.json"), storage.join(work, "state")
    if storage.exists(note):
        _require_same(recipe, Recipe.model_validate_json(storage.read_bytes(note)), root)
        if not refresh:
            if storage.exists(state_note) and storage.read_bytes(state_note).decode() == state:
                _logger.info("%s: continuing an interrupted ingest", root)
                return
            _logger.warning("%s: the source has changed since this ingest was interrupted; it begins anew", root)
    _clear(root, work)
    storage.write_bytes(state_note, state.encode())
    storage.write_bytes(note, recipe.model_dump_json(indent=1).encode())


def _clear(root: str, work: str) -> None:
    """Delete what an address holds of a data set, and first that by which it passes for a whole one."""
    storage.delete(manifest_uri(root))
    storage.delete(work)
    for path in storage.list_files(root, ".parquet"):
        if is_shard(path):
            storage.delete(path)


def _require_unchanged(source: SourceConfig, manifest: Manifest, root: str) -> None:
    """Check that a source holds what it held when the data set was made, if it is there and that is known."""
    try:
        state = source.state()
    except (SourceError, storage.StorageError) as error:
        _logger.info("%s: its source can't be read any more (%s); the set is used as it is", root, error)
        return
    if state and not manifest.source_state:
        _logger.warning("%s: whether its source has changed since isn't known; the set is of an older version", root)
    elif state != manifest.source_state:
        raise SourceChangedError(
            f"{root}: the source has changed since this data set was made. Make it anew by --refresh of jobs/ingest.py"
            " or jobs/pipeline.py; to go on with the set as it is, run the later jobs one by one, from jobs/train.py on"
        )


def _require_same(recipe: Recipe, there: Recipe, root: str) -> None:
    if difference := recipe.difference(there):
        raise RecipeError(
            f"{root} holds a data set of another config: {difference}. Give this one another address, or delete it"
        )


def _run(writer: UnitWriter, done: Collection[int], root: str, rate: float) -> None:
    """Do the units that are not done, logging a forecast, progress and the time left."""
    units = [unit for unit in range(writer.source.num_units) if unit not in done]
    work = Workload("ingest", writer.source.num_units, "units")
    forecast = Forecast(work, rate, len(done))
    _logger.info("%s: %s", root, forecast.announce())
    started = reported = time.monotonic()
    num_rows = 0
    for count, rows in enumerate(run_units(units, writer), start=1):
        num_rows += rows
        now = time.monotonic()
        if sharper := forecast.advance(len(done) + count):
            _logger.info(sharper)
        if now - reported >= _PROGRESS_SECONDS or count == len(units):
            reported, speed = now, num_rows / (now - started)
            left = (now - started) * (len(units) - count) / count
            _logger.info(
                "unit %d of %d: %d images, %.0f images/s, %.0f s left", count, len(units), num_rows, speed, left
            )
    _logger.info(forecast.verdict())


def _finish(data: DataConfig, recipe: Recipe, source: Source, state: str, split: _Split, root: str) -> Manifest:
    """Check what came out, write what was left out, sheet, findings and, last, the manifest."""
    records_uri = storage.join(root, _WORK_FOLDER, "units")
    totals = Totals.read(records_uri, source.vocabularies)
    skipped = write_skipped(root, storage.join(root, _WORK_FOLDER, "index"), totals.skipped)
    if not totals.shards:
        example = totals.skipped[0]
        raise SourceError(f"no image could be used: {skipped}; the first: {example.path}: {example.detail}")
    require_few(skipped, totals.num_rows, data.max_skipped, root)
    seen, pair, instance = totals.held_counts.tolist()
    shards = tuple(totals.shards)
    manifest = Manifest(
        recipe=recipe,
        source_fingerprint=source.fingerprint,
        source_state=state,
        content=content_hash(source.vocabularies, shards),
        columns=source.vocabularies,
        value_counts={column: tuple(counts.tolist()) for column, counts in totals.value_counts.items()},
        train_counts={column: tuple(counts.tolist()) for column, counts in totals.train_counts.items()},
        holdout=split.holdout,
        held_counts=(seen, pair, instance),
        associations=split.associations,
        num_rows=totals.num_rows,
        num_train=sum(shard.num_train for shard in shards),
        shards=shards,
        skipped=skipped,
    )
    _check_values(data, manifest)
    require_trainable(split.schema, split.absent, manifest.value_counts, manifest.train_counts, data.named_values)
    totals.warn_of_enlarged(recipe.image_size)
    _warn_of_lacking(manifest)
    for note in naming_notes(manifest, schema_of(manifest, data)):
        _logger.warning("%s", note)
    first = next(iter(data.attributes.items()))
    sheet = write_contact_sheet(root, manifest, first[1].columns(first[0])[0])
    prints = read_prints(records_uri, manifest.num_rows)
    write_findings(root, find(manifest, split.schema, load_labels(root, manifest), prints))
    write_manifest(root, manifest)
    _logger.info("%s: %d images in %d shards, %d skipped %s, thumbnails in %s", root, manifest.num_rows, len(shards),
                 sum(skipped.values()), skipped, sheet)  # fmt: skip
    return manifest


def _warn_of_lacking(manifest: Manifest) -> None:
    """Say how many images lack which label, and what becomes of them."""
    lacking = {column: manifest.num_rows - sum(counts) for column, counts in manifest.value_counts.items()}
    if not any(lacking.values()):
        return
    held = manifest.num_held_out - sum(manifest.held_counts)
    _logger.warning(
        "images without a label: %s of %s; they train stage 1, and stages 2 and 3 by the labels that they have. %s are"
        " held out, by their key or because they may show pairs or values that are, and judge nothing",
        ", ".join(f"{source_column(column)} {count:,}" for column, count in lacking.items() if count),
        f"{manifest.num_rows:,}",
        f"{held:,}",
    )


def _check_values(data: DataConfig, manifest: Manifest) -> None:
    """Refuse an attribute of which unreadable images left a single value, and warn of values that have no image."""
    for name, spec in data.attributes.items():
        for column in set(spec.columns(name)):
            counts = manifest.value_counts[column]
            empty = [value for value, count in zip(manifest.columns[column], counts, strict=True) if not count]
            if len(counts) - len(empty) < 2:
                raise SchemaError(
                    f"attribute {name!r}: of column {column!r} all readable images have one value; the images of"
                    f" {empty[:5]} were skipped: {manifest.skipped}. See {SKIPPED}"
                )
            if empty:
                _logger.warning("column %r: no readable image has the values %s", column, empty[:20])
