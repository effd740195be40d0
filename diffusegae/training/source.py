"""A training worker's source of batches: its share of the stage's feed, on its device, and the held-out samples."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from diffusegae.baselines.baseline import Samples
from diffusegae.baselines.table import BASELINES
from diffusegae.checkpoint import Position
from diffusegae.config.training import GroupStageConfig
from diffusegae.data.feed import (
    EmptyFeedError,
    Feed,
    FeedBatch,
    GroupSampler,
    NamedSampler,
    Sampler,
    prefetch,
    sample_rows,
)
from diffusegae.data.pipeline import Reading, StoredWindows, open_lanes
from diffusegae.data.records import IMAGE, KEY, LATENT, PIXELS
from diffusegae.images import decode_batch
from diffusegae.training.job import TrainingJob
from diffusegae.training.stages import column_of, shared_of
from diffusegae.training.transfer import Sent, Transfer

logger = logging.getLogger(__name__)

MONITOR_SAMPLES, MONITOR_SEED = 128, 0
PREFETCH_BATCHES = 2


class WorkerFeed:
    """Reads what a stage trains on; `rank` and `world_size` say which share of every batch is this worker's."""

    def __init__(self, job: TrainingJob, device: torch.device, rank: int, world_size: int) -> None:
        self.job, self.device, self.rank, self.world_size = job, device, rank, world_size
        config = job.config
        self.stage = job.settings
        self.shared = shared_of(self.stage)
        self.is_labelled = job.stage in BASELINES
        self.transfer = Transfer(device, self.stage.channels_last)
        self.sampler = self._new_sampler()
        self.payload: str = column_of(job.stage)
        if self.payload == IMAGE and config.resources.decode == "cluster":
            self.payload = PIXELS

    def start(self, positions: Sequence[Position]) -> Iterator[tuple[Any, FeedBatch]]:
        """Begin to read in the background and return the batches from the lanes' positions on."""
        feed = Feed(
            self._open(False, self.job.config.seed, self.job.config.lanes),
            self.sampler,
            batch_size=self.stage.batch_size,
            seed=self.job.config.seed,
            rank=self.rank,
            world_size=self.world_size,
        )
        sent = prefetch(((self._send(batch), batch) for batch in feed.batches(positions)), PREFETCH_BATCHES)
        return ((self._receive(on_its_way, batch), batch) for on_its_way, batch in sent)

    def held_out(self) -> Any | None:
        """Return fixed held-out samples, None if too few rows are held out."""
        samples = MONITOR_SAMPLES // (4 if self.shared else 1)
        lanes = self._open(True, MONITOR_SEED, 1)
        try:
            batch = next(Feed(lanes, self._new_sampler(), batch_size=samples, seed=0).batches())
        except EmptyFeedError as error:
            logger.warning("%s: reports go without held-out figures: %s", self.job.stage, error)
            return None
        return self._receive(self._send(batch), batch)

    def _new_sampler(self) -> Sampler:
        stage = self.stage
        if not isinstance(stage, GroupStageConfig):
            return NamedSampler(self._named) if self.is_labelled else sample_rows
        return GroupSampler(stage.shared, stage.partners, stage.balance)

    def _open(self, held_out: bool, seed: int, lanes: int) -> list[StoredWindows]:
        config, attributes = self.job.config, self.job.attributes
        payload = (self.payload, *((KEY,) if config.resources.journal else ()))
        reading = Reading(
            payload=(*payload, *attributes.columns) if self.is_labelled else payload,
            labels=self._label_columns,
            held_out=held_out,
            image_size=config.model.image_size,
            resources=config.resources.reader_resources,
        )
        return open_lanes(self.job.rows, reading, window_rows=config.data.window_rows, seed=seed, lanes=lanes)

    @property
    def _label_columns(self) -> tuple[str, ...]:
        """The columns that samples are chosen by: of single images all, of which none may lack a label."""
        attributes = self.job.attributes
        own = () if self.shared else attributes.columns
        return tuple(dict.fromkeys([*attributes.group_columns, *own]))

    @property
    def _named(self) -> dict[int, np.ndarray]:
        """The labels that go by name, by the column of a window's labels, where the baseline has outputs for them."""
        if self.job.stage not in BASELINES or not BASELINES[self.job.stage].reads_names:
            return {}
        bounded = [attribute for attribute in self.job.attributes.attributes if attribute.named]
        return {self._label_columns.index(each.column): np.array(each.named) for each in bounded}

    def _send(self, batch: FeedBatch) -> Sent:
        """Send a batch's images or latents, and for baselines their labels, to where it is trained on."""
        arrays = [self._payload_of(batch)]
        if self.is_labelled:
            labels = [batch.columns[name] for name in self.job.attributes.columns]
            arrays.append(self.job.attributes.places(np.stack(labels, axis=1).astype(np.int64)))
        return self.transfer.send(arrays)

    def _receive(self, sent: Sent, batch: FeedBatch) -> Any:
        """Return a batch for use: a tensor, for baselines `Samples` with the labels beside it."""
        values, *labels = (tensor.unflatten(0, (batch.num_samples, batch.num_members)) for tensor in sent.receive())
        return Samples(values, *labels) if labels else values

    def _payload_of(self, batch: FeedBatch) -> np.ndarray:
        """Return the latents [rows, z_sem] or the pixels [rows, size, size, 3] of a batch."""
        column, size = batch.columns[self.payload], self.job.config.model.image_size
        if self.payload == LATENT:
            return np.ascontiguousarray(column)
        if self.payload == PIXELS:
            return column.reshape(-1, size, size, 3)
        return decode_batch(column.tolist(), size, self.job.config.resources.decoders)
