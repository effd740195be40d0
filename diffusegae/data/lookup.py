"""Random access to stored images: pixels by row, and the row that shows a wanted combination of labels.

Because a combination of GROUP labels names what a picture shows, the true image of an edit ("this instance, in that
pose, on that background") is looked up among the stored images instead of being made again.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int8, Integer, UInt8

from diffusegae import storage
from diffusegae.data.records import IMAGE, MISSING
from diffusegae.data.shards import ROW_GROUP_ROWS, LabelTable, Manifest, load_labels
from diffusegae.data.splits import Strata, Stratum
from diffusegae.images import decode_batch
from diffusegae.schema import AttributeSchema

NOT_FOUND = -1
# A sample comes from whole row groups that together hold so many rows, so that little of a huge set is read.
POOL_ROWS, POOL_SHARE = 1 << 16, 8
_READ_THREADS = 4

Rows = Integer[np.ndarray, "_"]
Flags = Bool[np.ndarray, "_"]


class ImageLookup:
    """The images of the data set at a URI by row; a row is a place in its label table.

    With `labels` it knows the rows of that table alone, so that a worker need not load those of a huge set. With a
    schema, rows lack the labels of values that do not go by name.
    """

    def __init__(
        self,
        uri: str,
        manifest: Manifest,
        labels: LabelTable | None = None,
        schema: AttributeSchema | None = None,
    ) -> None:
        self.uri, self.manifest = uri, manifest
        self._given, self._schema = labels, schema
        self._tables: dict[tuple[tuple[str, ...], bool], LabelIndex] = {}

    def restricted(self, labels: LabelTable) -> "ImageLookup":
        """Return a lookup that knows the rows of a table alone."""
        return ImageLookup(self.uri, self.manifest, labels)

    @cached_property
    def labels(self) -> LabelTable:
        """Labels, split and place of all rows, loaded once, or of those that are known."""
        if self._given is not None:
            return self._given
        labels = load_labels(self.uri, self.manifest)
        return labels if self._schema is None else labels.named(self._schema)

    @cached_property
    def strata(self) -> Strata:
        """The stratum of any labels, by what is held out and by what all training rows show."""
        if self._given is not None:
            raise ValueError("a lookup of some rows can't tell what training saw; ask one of the whole data set")
        train = ~self.labels.held_out
        paired = {column for pairs in self.manifest.holdout.pairs for column in pairs.columns}
        trained = {column: self.labels.columns[column][train] for column in paired}
        return Strata(self.manifest.holdout, self.manifest.columns, trained)

    @cached_property
    def row_strata(self) -> Int8[np.ndarray, "_"]:
        """The stratum of every row."""
        return self.strata.of(self.labels.columns)

    def take(self, rows: Rows) -> UInt8[np.ndarray, "rows size size 3"]:
        """Return the pixels of rows in their order, reading each row group that holds one of them once."""
        size = self.manifest.image_size
        wanted, places = np.unique(rows, return_inverse=True)
        shard, inside = self.labels.shard[wanted], self.labels.row[wanted]
        row_group = shard.astype(np.int64) << 32 | inside // ROW_GROUP_ROWS
        starts = np.flatnonzero(np.diff(row_group, prepend=-1))
        pixels = np.empty((len(wanted), size, size, 3), np.uint8)

        def read(piece: Rows) -> None:
            pixels[piece] = self._read(int(shard[piece[0]]), inside[piece], size)

        with ThreadPoolExecutor(_READ_THREADS) as pool:
            list(pool.map(read, np.split(np.arange(len(wanted)), starts[1:]) if len(wanted) else []))
        return pixels[places]

    def find(
        self, labels: Integer[np.ndarray, "count columns"], columns: Sequence[str], held_out: bool = False
    ) -> Rows:
        """Return the first row with each combination of labels in the given columns, NOT_FOUND where there is none.

        With `held_out` only rows that training never sees are looked at.
        """
        key = tuple(columns)
        if (key, held_out) not in self._tables:
            eligible = (self.labels.matrix(key) != MISSING).all(axis=1)
            rows = np.flatnonzero(eligible & self.labels.held_out if held_out else eligible)
            sizes = [len(self.manifest.columns[column]) for column in key]
            self._tables[key, held_out] = LabelIndex(self.labels.matrix(key)[rows], sizes, rows)
        return self._tables[key, held_out].find(labels)

    def sample(self, count: int, held_out: bool | Stratum, generator: np.random.Generator) -> Rows:
        """Draw at most `count` distinct rows of one side of the split, or of one stratum held out, in random order.

        Rows that lack a label are never drawn.
        They come from whole row groups, drawn until these hold several times more rows than are asked for: all of a
        small set, a few of a huge one.
        """
        eligible: Flags = self.labels.held_out == (isinstance(held_out, Stratum) or held_out)
        for labels in self.labels.columns.values():
            eligible &= labels != MISSING
        if isinstance(held_out, Stratum):
            eligible &= self.row_strata == held_out
        pool = max(POOL_ROWS, POOL_SHARE * count)
        if np.count_nonzero(eligible) > pool:
            eligible &= self._pool(eligible, pool, generator)
        return generator.permutation(np.flatnonzero(eligible))[:count]

    def _pool(self, eligible: Flags, size: int, generator: np.random.Generator) -> Flags:
        """Tell which rows lie in row groups drawn until they hold `size` eligible rows."""
        row_group = np.cumsum(self.labels.row % ROW_GROUP_ROWS == 0) - 1
        held = np.bincount(row_group, weights=eligible)
        order = generator.permutation(len(held))
        num_drawn = int(np.searchsorted(np.cumsum(held[order]), size)) + 1
        return np.isin(row_group, order[:num_drawn])

    def _read(self, shard: int, rows: Rows, size: int) -> UInt8[np.ndarray, "rows size size 3"]:
        filesystem, path = storage.locate(storage.join(self.uri, self.manifest.shards[shard].path))
        group = int(rows[0]) // ROW_GROUP_ROWS
        table = pq.ParquetFile(path, filesystem=filesystem).read_row_group(group, columns=[IMAGE])
        encoded = table[IMAGE].take(pa.array(rows - group * ROW_GROUP_ROWS))
        return decode_batch(encoded.to_pylist(), size)


class LabelIndex:
    """A table from combinations of labels to the first row that has them, by its number: 12 bytes per row."""

    def __init__(
        self, labels: Integer[np.ndarray, "rows columns"], cardinalities: Sequence[int], numbers: Rows
    ) -> None:
        self._sizes = np.asarray(cardinalities, np.int64)
        codes = self._encode(labels)
        order = np.argsort(codes, kind="stable")
        self._codes = codes[order]
        self._rows = numbers[order].astype(np.int32 if len(order) < 2**31 else np.int64)

    def find(self, labels: Integer[np.ndarray, "count columns"]) -> Rows:
        """Return the first row of each combination, NOT_FOUND where there is none."""
        codes = self._encode(labels)
        if not len(self._codes):
            return np.full(len(codes), NOT_FOUND)
        places = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        return np.where(self._codes[places] == codes, self._rows[places], NOT_FOUND)

    def _encode(self, labels: Integer[np.ndarray, "count columns"]) -> Integer[np.ndarray, " count"]:
        """Return one number per combination; iLab's 718 x 417 x 88 are far below 2^63."""
        codes = np.zeros(len(labels), np.int64)
        for column, size in enumerate(self._sizes):
            codes = codes * size + labels[:, column]
        return codes
