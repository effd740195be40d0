"""The game's text files: which rectangles of a sheet are an animation's frames or a tileset's tiles, and layer order.

They are lines of `key=value` under `[section]` headings, `#` begins a comment (Flare 1.14, docs of its engine).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from diffusegae import storage
from diffusegae.data.records import SourceError

NUM_DIRECTIONS = 8
_SECTION = "stance"  # of the animations the one in which a hero stands


class Cut(NamedTuple):
    """A rectangle of a sheet in pixels; its point (`offset_x`, `offset_y`) is put on an anchor."""

    x: int
    y: int
    width: int
    height: int
    offset_x: int
    offset_y: int


@dataclass(frozen=True)
class Animation:
    """The stance of a layer: its sheet, relative to the game's folder, and a cut per frame and direction."""

    image: str
    cuts: Mapping[tuple[int, int], Cut]

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.cuts) // NUM_DIRECTIONS


@dataclass(frozen=True)
class Tileset:
    """The tiles of a terrain: their sheet, relative to the game's folder, and a cut per number of a tile."""

    image: str
    cuts: Mapping[int, Cut]


class _Line(NamedTuple):
    number: int
    section: str
    key: str
    value: str


def read_animation(folder: str, path: str) -> Animation:
    """Read `image=` and the stance's `frame=FRAME,DIRECTION,x,y,width,height,offset_x,offset_y`.

    Raises:
        SourceError: no such file, a line that says something else, or a frame that lacks a direction.
    """
    image, cuts = "", {}
    for line in _lines(folder, path):
        if line.key == "image":
            image = line.value
        elif line.key == "frame" and line.section == _SECTION:
            frame, direction, *cut = _numbers(path, line, 8)
            cuts[frame, direction] = Cut(*cut)
    frames = range(max((frame for frame, _ in cuts), default=0) + 1)
    lacking = [(frame, turn) for frame in frames for turn in range(NUM_DIRECTIONS) if (frame, turn) not in cuts]
    if not image or lacking:
        what = f"no frame {lacking[0][0]} in direction {lacking[0][1]}" if lacking else "no line image="
        raise SourceError(f"{storage.join(folder, path)}: {what} for [{_SECTION}]; {REMEDY}")
    return Animation(image, cuts)


def read_tileset(folder: str, path: str) -> Tileset:
    """Read `img=` and `tile=NUMBER,x,y,width,height,offset_x,offset_y`; SourceError as `read_animation`."""
    image, cuts = "", {}
    for line in _lines(folder, path):
        if line.key == "img":
            image = line.value
        elif line.key == "tile":
            number, *cut = _numbers(path, line, 7)
            cuts[number] = Cut(*cut)
    if not image:
        raise SourceError(f"{storage.join(folder, path)}: no line img=; {REMEDY}")
    return Tileset(image, cuts)


def read_layer_order(folder: str) -> tuple[tuple[str, ...], ...]:
    """Read for each direction the order in which parts are laid, the lowest first: `layer=DIRECTION,part,part…`.

    Raises:
        SourceError: no such file, or one that lacks a direction.
    """
    path = "engine/hero_layers.txt"
    parts = [line.value.split(",") for line in _lines(folder, path) if line.key == "layer"]
    order = {turn: tuple(names) for turn, *names in parts}
    lacking = [turn for turn in map(str, range(NUM_DIRECTIONS)) if turn not in order]
    if lacking:
        raise SourceError(f"{storage.join(folder, path)}: no line layer={lacking[0]},…; {REMEDY}")
    return tuple(order[str(turn)] for turn in range(NUM_DIRECTIONS))


REMEDY = "install the art again (make heroes), or set data.source.folder to a whole fantasycore folder"


def read_file(folder: str, path: str) -> bytes:
    """Read a file of the game; SourceError if it is not there."""
    try:
        return storage.read_bytes(storage.join(folder, path))
    except storage.StorageNotFoundError as error:
        raise SourceError(f"{storage.join(folder, path)}: no such file; {REMEDY}") from error


def _lines(folder: str, path: str) -> Iterator[_Line]:
    section = ""
    for number, text in enumerate(read_file(folder, path).decode(errors="replace").splitlines(), start=1):
        key, _, value = text.partition("#")[0].strip().partition("=")
        if key.startswith("["):
            section = key.strip("[]")
        elif key:
            yield _Line(number, section, key.strip(), value.strip())


def _numbers(path: str, line: _Line, count: int) -> list[int]:
    try:
        numbers = [int(text) for text in line.value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise SourceError(
            f"{path}, line {line.number}: {line.key}={line.value!r}, expected {count} whole numbers; {REMEDY}"
        )
    return numbers
