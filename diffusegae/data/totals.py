"""Totals: what the units of an ingest come to, added up record by record."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from diffusegae import storage
from diffusegae.data.prints import Prints
from diffusegae.data.records import Skipped
from diffusegae.data.shards import Shard
from diffusegae.data.splits import Stratum
from diffusegae.data.units import Counts, UnitRecord

_READ_THREADS, _READ_AT_ONCE = 8, 256
_logger = logging.getLogger(__name__)


@dataclass
class Totals:
    """The sums over all units done so far; counts are arrays over the vocabularies."""

    shards: list[Shard]
    value_counts: Mapping[str, npt.NDArray[np.int64]]
    train_counts: Mapping[str, npt.NDArray[np.int64]]
    held_counts: npt.NDArray[np.int64]
    skipped: list[Skipped] = field(default_factory=list)
    enlarged: int = 0

    @classmethod
    def read(cls, records_uri: str, vocabularies: Mapping[str, Sequence[str]]) -> "Totals":
        """Add up the records at an address, some of them in memory at a time."""
        values, trained = (
            {name: np.zeros(len(vocabulary), np.int64) for name, vocabulary in vocabularies.items()} for _ in range(2)
        )
        totals = cls([], values, trained, np.zeros(len(Stratum), np.int64))
        for record in iterate_records(records_uri):
            totals.shards += [record.shard] if record.shard else []
            totals.held_counts += record.held_counts
            totals.skipped += record.skipped
            totals.enlarged += record.enlarged
            _add(totals.value_counts, record.value_counts)
            _add(totals.train_counts, record.train_counts)
        return totals

    @property
    def num_rows(self) -> int:
        """Rows of all shards."""
        return sum(shard.num_rows for shard in self.shards)

    def warn_of_enlarged(self, image_size: int) -> None:
        """Log how many pictures had fewer pixels than the stored images, and so are blurred."""
        if self.enlarged:
            are, were = ("is", "was") if self.enlarged == 1 else ("are", "were")
            message = "%s of %s pictures %s smaller than image_size %d and %s enlarged"
            _logger.warning(message, f"{self.enlarged:,}", f"{self.num_rows:,}", are, image_size, were)


def done_units(records_uri: str) -> set[int]:
    """Return the units that have a record."""
    return {int(path.rpartition("/")[2].removesuffix(".json")) for path in storage.list_files(records_uri, ".json")}


def iterate_records(records_uri: str) -> Iterator[UnitRecord]:
    """Read the records of all units done so far, in the order of the units."""
    paths = sorted(storage.list_files(records_uri, ".json"), key=lambda path: (len(path), path))
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        for start in range(0, len(paths), _READ_AT_ONCE):
            some = paths[start : start + _READ_AT_ONCE]
            yield from pool.map(lambda path: UnitRecord.model_validate_json(storage.read_bytes(path)), some)


def read_prints(records_uri: str, num_rows: int) -> Prints | None:
    """Read the prints of all rows, in their order; None if units lack them, as those that an older version did."""
    paths = sorted(storage.list_files(records_uri, ".npy"), key=lambda path: (len(path), path))
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        prints = Prints.join(list(pool.map(storage.read_bytes, paths))) if paths else None
    return prints if prints is not None and len(prints) == num_rows else None


def _add(sums: Mapping[str, npt.NDArray[np.int64]], counts: Mapping[str, Counts]) -> None:
    for column, found in counts.items():
        labels, rows = (np.fromiter(each, np.int64, len(found)) for each in (found, found.values()))
        sums[column][labels] += rows
