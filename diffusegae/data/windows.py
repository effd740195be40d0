"""Windows of stored rows: an Arrow table seen as labels and as columns that are taken by row."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int

from diffusegae import storage
from diffusegae.data.feed import Columns
from diffusegae.data.latents import read_latent_manifest, rows_of
from diffusegae.data.order import RowGroup
from diffusegae.data.records import HELD_OUT, IMAGE, LATENT, PIXELS
from diffusegae.data.shards import ROW_GROUP_ROWS, read_manifest
from diffusegae.images import decode_batch


class TableWindow:
    """A window held as one Arrow table; encoded images stay encoded, latents and pixels are one array [rows, …].

    Keys and labels can be taken too, as arrays [rows].
    """

    def __init__(self, table: pa.Table, payload: Sequence[str], label_columns: Sequence[str]) -> None:
        self.num_rows = table.num_rows
        self._labels = np.stack([table[name].to_numpy() for name in label_columns], axis=1)
        self._columns = {name: _as_column(table[name], name) for name in payload}

    def labels(self) -> Int[np.ndarray, "rows attributes"]:
        """Return the GROUP labels of all rows."""
        return self._labels

    def take(self, rows: Int[np.ndarray, " count"]) -> Columns:
        """Return the payload columns of the given rows, in their order."""
        return {name: _take(column, rows) for name, column in self._columns.items()}


def _as_column(column: pa.ChunkedArray, name: str) -> pa.Array | np.ndarray:
    if name in (LATENT, PIXELS):
        return rows_of(column)
    if name == IMAGE:
        return column.combine_chunks().cast(pa.large_binary())
    return column.to_numpy()


def _take(column: pa.Array | np.ndarray, rows: Int[np.ndarray, " count"]) -> np.ndarray:
    taken = column[rows] if isinstance(column, np.ndarray) else column.take(pa.array(rows))
    return taken if isinstance(taken, np.ndarray) else np.asarray(taken.to_numpy(zero_copy_only=False))


def decode_rows(table: pa.Table, size: int) -> pa.Table:
    """Replace the encoded images of a table by their pixels, uint8 [rows, size * size * 3]."""
    pixels = decode_batch(table[IMAGE].to_pylist(), size) if table.num_rows else np.zeros((0, size, size, 3), np.uint8)
    column = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), size * size * 3)
    return table.drop_columns([IMAGE]).append_column(PIXELS, column)


def list_image_row_groups(uri: str) -> list[RowGroup]:
    """List the row groups of a data set of images, from its manifest alone."""
    shards = [(storage.join(uri, shard.path), shard.num_rows) for shard in read_manifest(uri).shards]
    return _row_groups(shards)


def list_latent_row_groups(uri: str) -> list[RowGroup]:
    """List the row groups of a set of latents, from its manifest alone."""
    shards = [(storage.join(uri, shard.path), shard.num_rows) for shard in read_latent_manifest(uri).shards]
    return _row_groups(shards)


def _row_groups(shards: Sequence[tuple[str, int]]) -> list[RowGroup]:
    return [
        RowGroup(path, index, min(ROW_GROUP_ROWS, num_rows - index * ROW_GROUP_ROWS))
        for path, num_rows in shards
        for index in range(-(-num_rows // ROW_GROUP_ROWS))
    ]


def read_row_group(path: str, index: int, columns: Sequence[str], held_out: bool) -> pa.Table:
    """Read one row group's columns, of the held-out rows or of the training rows only."""
    filesystem, inner = storage.locate(path)
    table = pq.ParquetFile(inner, filesystem=filesystem).read_row_group(index, columns=[*columns, HELD_OUT])
    chosen = table[HELD_OUT] if held_out else pc.invert(table[HELD_OUT])
    return table.filter(chosen).drop_columns([HELD_OUT])
