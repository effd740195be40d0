"""The world of heroes: the values that a folder of art has, and the picture of any combination of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from diffusegae import storage
from diffusegae.data.combined import CombinedWorld
from diffusegae.data.heroes.definitions import read_layer_order
from diffusegae.data.heroes.ground import TERRAINS, draw_ground, tileset_path
from diffusegae.data.heroes.layers import CANVAS, compose, load_layer
from diffusegae.data.heroes.wardrobe import BODIES, WARDROBE, layers_of, values_there
from diffusegae.data.records import SourceError
from diffusegae.data.splits import hash_keys

DIRECTIONS = ("west", "northwest", "north", "northeast", "east", "southeast", "south", "southwest")  # on the screen
HERO_COLUMNS = ("body", *WARDROBE, "direction", "ground")


@dataclass(frozen=True)
class HeroWorld(CombinedWorld):
    """Every hero that a folder of art can show, in pictures of `size` pixels."""

    folder: str
    size: int
    seed: int  # of the grounds
    values: tuple[tuple[str, ...], ...]  # by HERO_COLUMNS
    num_frames: int
    art: str  # hash of every pixel that these values need

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """Label column to its values."""
        return dict(zip(HERO_COLUMNS, self.values, strict=True))

    def frames(
        self, labels: Integer[np.ndarray, "n columns"], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> Integer[np.ndarray, " n"]:
        """Return the frame of the stance that each picture shows: of draw 0 by a hash of the key, else another one.

        Of three frames or more, two draws in a row (1, 2, …) have different ones.
        """
        hashes = hash_keys(f"frame\0{self.key(row)}" for row in labels)
        number, own = np.asarray(draws), (hashes % np.uint64(self.num_frames)).astype(np.int64)
        steps = np.where(number > 0, 1 + (number - 1) % max(1, self.num_frames - 1), 0)
        return np.asarray((own + steps) % self.num_frames)

    def render(
        self, labels: Integer[np.ndarray, "n columns"], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Render combinations, given as indices into the values of HERO_COLUMNS; the same draw gives the same picture.

        Raises:
            SourceError: a file of the art is missing or damaged.
        """
        pixels = np.empty((len(labels), self.size, self.size, 3), np.uint8)
        for row, frame in enumerate(self.frames(labels, draws).tolist()):
            picture = self._compose(self.names(labels[row]), frame)
            if self.size != CANVAS:
                picture = picture.resize((self.size, self.size), Image.Resampling.LANCZOS)
            pixels[row] = np.asarray(picture)
        return pixels

    def _compose(self, names: Mapping[str, str], frame: int) -> Image.Image:
        direction, body = DIRECTIONS.index(names["direction"]), names["body"]
        layers: dict[str, str] = {}
        for attribute in WARDROBE:
            layers |= layers_of(attribute, names[attribute], body)
        parts = [part for part in _layer_order(self.folder)[direction] if part in layers]
        pieces = [load_layer(self.folder, body, layers[part])[frame, direction] for part in parts]
        return compose(draw_ground(self.folder, *_terrain_and_layout(names["ground"]), self.seed), pieces)


def open_world(folder: str, size: int, seed: int, num_layouts: int, wanted: Mapping[str, Sequence[str]]) -> HeroWorld:
    """Find the values that a folder of art has, those of `wanted` alone where it names a column, and read their files.

    Raises:
        SourceError: a file is missing or damaged, or the folder lacks a wanted value.
    """
    there = {body: _names_in(storage.join(folder, "animations", "avatar", body)) for body in BODIES}
    bodies = {body: names for body, names in there.items() if names}
    if not bodies:
        raise SourceError(
            f"{folder}: no heroes there (animations/avatar/male or female); install the art of Flare by `make heroes`"
            " or Debian's package flare-game, or set data.source.folder to the folder fantasycore of another copy"
        )
    terrains = [name for name in TERRAINS if storage.exists(storage.join(folder, tileset_path(name)))]
    found = {
        "body": tuple(bodies),
        **{attribute: values_there(attribute, bodies) for attribute in WARDROBE},
        "direction": DIRECTIONS,
        "ground": tuple(f"{terrain}_{layout}" for terrain in terrains for layout in range(num_layouts)),
    }
    values = {column: _restrict(folder, column, found[column], wanted.get(column)) for column in HERO_COLUMNS}
    num_frames, art = _read_art(folder, values, seed)
    return HeroWorld(folder, size, seed, tuple(values.values()), num_frames, art)


def _names_in(folder: str) -> set[str]:
    return {path.rpartition("/")[2].removesuffix(".txt") for path in storage.list_files(folder, ".txt")}


def _restrict(folder: str, column: str, found: tuple[str, ...], wanted: Sequence[str] | None) -> tuple[str, ...]:
    unknown = [value for value in wanted or () if value not in found]
    if unknown or not found:
        what = f"no {column} {unknown[0]!r}, which data.source.values.{column} names" if unknown else f"no {column}"
        raise SourceError(f"{folder}: {what}; there are: {', '.join(found) or 'none'}")
    return tuple(value for value in found if wanted is None or value in wanted)


def _read_art(folder: str, values: Mapping[str, tuple[str, ...]], seed: int) -> tuple[int, str]:
    """Read all that the values need; return the number of frames that every layer has, and a hash of the pixels."""
    digest, num_frames = hashlib.sha256(repr(_layer_order(folder)).encode()), 0
    layers = {
        (body, name)
        for body in values["body"]
        for attribute in WARDROBE
        for value in values[attribute]
        for name in layers_of(attribute, value, body).values()
    }
    for body, name in sorted(layers):
        pieces = load_layer(folder, body, name)
        own = 1 + max(frame for frame, _ in pieces)
        num_frames = min(num_frames or own, own)
        for key, piece in sorted(pieces.items()):
            digest.update(repr((body, name, key, piece.left, piece.top, piece.pixels.size)).encode())
            digest.update(piece.pixels.tobytes())
    for ground in values["ground"]:
        digest.update(draw_ground(folder, *_terrain_and_layout(ground), seed).tobytes())
    return num_frames, digest.hexdigest()


def _terrain_and_layout(ground: str) -> tuple[str, int]:
    terrain, _, layout = ground.rpartition("_")
    return terrain, int(layout)


@lru_cache(maxsize=8)
def _layer_order(folder: str) -> tuple[tuple[str, ...], ...]:
    return read_layer_order(folder)
