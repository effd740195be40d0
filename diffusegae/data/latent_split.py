"""Latents in memory, cut in two: rows to fit a GAE or a probe to, and rows to judge it by.

Whatever chooses something cuts the training rows, by a permutation that `tune.seed` fixes, and does not read the
held-out rows, the test split. Only a sweep's confirmation fits to training rows and judges by held-out ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from diffusegae.config.tuning import TuneConfig
from diffusegae.data.feed import Columns
from diffusegae.data.latents import LatentManifest, read_latent_manifest, read_latents, rows_of
from diffusegae.data.order import generator_for
from diffusegae.data.records import HELD_OUT, LATENT, MISSING
from diffusegae.schema import AttributeSchema

Rows = Int[np.ndarray, "_"]
SPLIT, TEST, PROBES = 0, 1, 2  # which question a generator answers


class SplitError(ValueError):
    """Too few rows to fit a GAE and to judge it."""


@dataclass(frozen=True, eq=False)
class LatentRows:
    """Latents with their labels, as a window that GROUPs are planned in and as the source of that one window."""

    z: Float[np.ndarray, "rows z_sem"]
    judged_labels: Int[np.ndarray, "rows attributes"]
    group_labels: Int[np.ndarray, "rows attributes"]

    @property
    def num_rows(self) -> int:
        """Rows held."""
        return len(self.z)

    def labels(self) -> Int[np.ndarray, "rows attributes"]:
        """Return the GROUP labels of all rows."""
        return self.group_labels

    def take(self, rows: Rows) -> Columns:
        """Return the latents of the given rows, in their order."""
        return {LATENT: self.z[rows]}

    def windows(self, epoch: int, first: int) -> Iterator["LatentRows"]:
        """Yield the windows of an epoch, from number `first` on: itself is the only one."""
        yield from [self][first:]

    def draw(self, count: int, seed: int) -> "LatentRows":
        """Return at most `count` of the rows that lack no label, drawn by a seed."""
        rows = np.sort(generator_for(seed, PROBES).permutation(self._labelled)[:count])
        return LatentRows(self.z[rows], self.judged_labels[rows], self.group_labels[rows])

    def labelled(self) -> "LatentRows":
        """Return the rows that lack no label, in their order."""
        rows = self._labelled
        return LatentRows(self.z[rows], self.judged_labels[rows], self.group_labels[rows])

    @property
    def _labelled(self) -> Rows:
        return np.flatnonzero(((self.judged_labels != MISSING) & (self.group_labels != MISSING)).all(axis=1))


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to fit to and rows to judge by, with the statistics of the fitted ones."""

    fitted: LatentRows
    judged: LatentRows
    mean: Float[np.ndarray, " z_sem"]
    covariance: Float[np.ndarray, "z_sem z_sem"]

    @property
    def spread(self) -> Float[np.ndarray, " z_sem"]:
        """Standard deviation per dimension."""
        spread: np.ndarray = np.sqrt(self.covariance.diagonal())
        return spread


def read_validation_split(uri: str, schema: AttributeSchema, tune: TuneConfig) -> Split:
    """Read the training rows, cut in two: those that validate are never fitted to, the held-out rows never read.

    Raises:
        LatentError: there are no latents. SplitError: there are too few.
    """
    manifest = read_latent_manifest(uri)
    rows = _draw(_numbers(uri, manifest, held_out=False), tune, SPLIT)
    num_judged = len(rows) * tune.validation_percent // 100
    return _read(uri, manifest, schema, fitted=rows[num_judged:], judged=rows[:num_judged])


def read_test_split(uri: str, schema: AttributeSchema, tune: TuneConfig) -> Split:
    """Read all training rows to fit to, and the held-out rows to judge by, each as many as memory may hold.

    Raises:
        LatentError: there are no latents. SplitError: there are too few.
    """
    manifest = read_latent_manifest(uri)
    train, test = (_numbers(uri, manifest, held_out) for held_out in (False, True))
    return _read(uri, manifest, schema, fitted=_draw(train, tune, SPLIT), judged=_draw(test, tune, TEST))


def _numbers(uri: str, manifest: LatentManifest, held_out: bool) -> Rows:
    """Return the places in the whole set of the rows that are held out, or that are not."""
    flags: np.ndarray = read_latents(uri, manifest.shards, [HELD_OUT])[HELD_OUT].to_numpy()
    return np.flatnonzero(flags == held_out)


def _draw(rows: Rows, tune: TuneConfig, purpose: int) -> Rows:
    drawn: Rows = generator_for(tune.seed, purpose).permutation(rows)[: tune.max_rows]
    return drawn


def _read(uri: str, manifest: LatentManifest, schema: AttributeSchema, fitted: Rows, judged: Rows) -> Split:
    if len(fitted) < 2 or not len(judged):
        raise SplitError(_too_few(uri, len(fitted), len(judged)))
    training, other = (_take(uri, manifest, schema, np.sort(rows)) for rows in (fitted, judged))
    other = other.labelled()
    if not other.num_rows:
        raise SplitError(_too_few(uri, len(fitted), 0))
    z = training.z.astype(np.float64)
    mean = z.mean(axis=0)
    z -= mean
    covariance = z.T @ z / len(z)
    return Split(training, other, mean.astype(np.float32), covariance.astype(np.float32))


def _too_few(uri: str, fitted: int, judged: int) -> str:
    return (
        f"{uri} gives {fitted} rows to fit to and {judged} with all labels to judge by, too few of each; ingest more"
        " images, or change tune.validation_percent or tune.max_rows"
    )


def _take(uri: str, manifest: LatentManifest, schema: AttributeSchema, rows: Rows) -> LatentRows:
    """Read the given rows, one shard in memory at a time."""
    columns = list(dict.fromkeys([*schema.columns, *schema.group_columns]))
    parts, first = [], 0
    for shard in manifest.shards:
        here = rows[(rows >= first) & (rows < first + shard.num_rows)] - first
        first += shard.num_rows
        if len(here):
            parts.append(read_latents(uri, [shard], [LATENT, *columns]).take(here))
    labels = {name: np.concatenate([part[name].to_numpy() for part in parts]) for name in columns}
    return LatentRows(
        z=np.concatenate([rows_of(part[LATENT]) for part in parts]),
        judged_labels=schema.places(_stack(labels, schema.columns)),
        group_labels=_stack(labels, schema.group_columns),
    )


def _stack(labels: Columns, names: Sequence[str]) -> Int[np.ndarray, "rows attributes"]:
    return np.stack([labels[name] for name in names], axis=1).astype(np.int64)
