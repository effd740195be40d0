"""The thumbnail sheet of a data set: what was ingested, at a glance, one column per value of an attribute."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diffusegae import storage
from diffusegae.data.records import IMAGE
from diffusegae.data.shards import Manifest
from diffusegae.images import Framing, decode_batch, encode_image, label_grid, make_grid

_SHAPES = {
    "crop": "Each is the square in the centre of its picture; what lies outside is not trained on.",
    "pad": "Each is a whole picture, filled up to a square.",
    "stretch": "Each is a whole picture, stretched to a square.",
}
THUMBNAILS = "thumbnails.png"
_MAX_VALUES, _ROWS, _MIN_SIDE = 12, 8, 64
_MAX_SHARDS = 4


def write_contact_sheet(uri: str, manifest: Manifest, column: str) -> str:
    """Write THUMBNAILS beside the manifest, pictures sorted by one label column; return its address."""
    values = manifest.columns[column][:_MAX_VALUES]
    rows = _sample_rows(uri, manifest, column)
    labels = rows[column].to_numpy()
    size = manifest.image_size
    cells = np.full((_ROWS, len(values), size, size, 3), 255, np.uint8)
    for code in range(len(values)):
        encoded = rows[IMAGE].take(np.flatnonzero(labels == code)[:_ROWS]).to_pylist()
        cells[: len(encoded), code] = decode_batch(encoded, size)
    grid = make_grid(cells.reshape(-1, size, size, 3), columns=len(values), scale=max(1, _MIN_SIDE // size))
    title = f"{manifest.num_rows:,} images of {size} px by {column}. {_tell_framing(manifest.recipe.framing)}"
    target = storage.join(uri, THUMBNAILS)
    storage.write_bytes(target, encode_image(label_grid(grid, values, title)))
    return target


def _tell_framing(framing: Framing) -> str:
    shape = f"data.resize: {framing.resize}. {_SHAPES[framing.resize]}"
    return f"{shape} What is transparent lies on data.background: {framing.background}."


def _sample_rows(uri: str, manifest: Manifest, column: str) -> pa.Table:
    """Read the first row group of a few shards from all over the set."""
    chosen = sorted(set(np.linspace(0, len(manifest.shards) - 1, _MAX_SHARDS).astype(int).tolist()))
    tables = []
    for index in chosen:
        filesystem, path = storage.locate(storage.join(uri, manifest.shards[index].path))
        tables.append(pq.ParquetFile(path, filesystem=filesystem).read_row_group(0, columns=[IMAGE, column]))
    return pa.concat_tables(tables)
