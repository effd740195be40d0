"""The thumbnail sheet of a data set: what was ingested, at a glance, one column per value of an attribute."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diffusegae import storage
from diffusegae.data.findings import Place
from diffusegae.data.records import IMAGE, KEY
from diffusegae.data.shards import ROW_GROUP_ROWS, Manifest
from diffusegae.images import Framing, decode_batch, encode_image, label_grid, make_grid

_SHAPES = {
    "crop": "Each is the square in the centre of its picture; what lies outside is not trained on.",
    "pad": "Each is a whole picture, filled up to a square.",
    "stretch": "Each is a whole picture, stretched to a square.",
}
THUMBNAILS = "thumbnails.png"
_MAX_VALUES, _ROWS, _MIN_SIDE = 12, 8, 64
_MAX_SHARDS = 4
_READ_THREADS = 4


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
    title = f"{manifest.num_rows:,} images of {size} px by {column}. {tell_framing(manifest.recipe.framing)}"
    target = storage.join(uri, THUMBNAILS)
    storage.write_bytes(target, encode_image(label_grid(grid, values, title)))
    return target


def tell_framing(framing: Framing) -> str:
    """Say in sentences how pictures became opaque squares."""
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


def read_places(uri: str, manifest: Manifest, places: Iterable[Place]) -> dict[Place, tuple[str, bytes]]:
    """Return the key and the encoded picture at each place, reading each row group that holds one of them once."""
    groups: dict[tuple[int, int], list[Place]] = {}
    for place in dict.fromkeys(places):
        groups.setdefault((place.shard, place.row // ROW_GROUP_ROWS), []).append(place)

    def read(group: tuple[int, int]) -> list[tuple[Place, tuple[str, bytes]]]:
        filesystem, path = storage.locate(storage.join(uri, manifest.shards[group[0]].path))
        table = pq.ParquetFile(path, filesystem=filesystem).read_row_group(group[1], columns=[KEY, IMAGE])
        rows = table.take([place.row % ROW_GROUP_ROWS for place in groups[group]]).to_pylist()
        return [(place, (row[KEY], row[IMAGE])) for place, row in zip(groups[group], rows, strict=True)]

    with ThreadPoolExecutor(_READ_THREADS) as pool:
        return {place: found for each in pool.map(read, groups) for place, found in each}
