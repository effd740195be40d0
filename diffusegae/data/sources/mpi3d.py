"""MPI3D: a robot arm holds an object, drawn plainly, drawn realistically or photographed; seven factors by place.

Layout (github.com/rr-learning/disentanglement_dataset): `images` uint8 [n, 64, 64, 3], every combination once in
row-major order. mpi3d_toy.npz, mpi3d_realistic.npz and mpi3d_real.npz hold 1,036,800 pictures of 6 colours and 6
shapes, mpi3d_real_complex (real3d_complicated_shapes_ordered.npz) 460,800 of 4 and 4; their numbers tell them apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from diffusegae.data.records import SourceError
from diffusegae.data.sources.arrays import BLOCK_ROWS, Block, Rows, name_values, numbered
from diffusegae.data.sources.npz import NpzConfig, open_npz

_IMAGES = "images"
_SHARED: dict[str, tuple[str, ...]] = {
    "object_size": ("small", "large"),
    "camera_height": ("top", "center", "bottom"),
    "background_color": ("purple", "sea green", "salmon"),
    "horizontal_axis": numbered(40),
    "vertical_axis": numbered(40),
}
# Number of pictures to the values of each factor, the slowest first.
_LAYOUTS: dict[int, dict[str, tuple[str, ...]]] = {
    1_036_800: {
        "object_color": ("white", "green", "red", "blue", "brown", "olive"),
        "object_shape": ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere"),
        **_SHARED,
    },
    460_800: {
        "object_color": ("yellow", "green", "olive", "red"),
        "object_shape": ("coffee cup", "tennis ball", "croissant", "beer cup"),
        **_SHARED,
    },
}


class Mpi3dConfig(NpzConfig):
    """MPI3D, any of its four sets: object colour, shape and size, camera height, background, two axes of the arm."""

    kind: Literal["mpi3d"] = "mpi3d"
    factors: ClassVar[tuple[str, ...]] = ("object_color", "object_shape", *_SHARED)

    def named_values(self) -> Mapping[str, Sequence[str]]:
        """Return the values of columns whose values have names, in their own order."""
        return _LAYOUTS[self.arrays()[_IMAGES].num_rows]

    def arrays(self) -> Mapping[str, Rows]:
        """Open the pictures; SourceError if they are missing, damaged or of another layout."""
        images = open_npz(self.uri, _IMAGES)
        if len(images.shape) != 4 or images.shape[3] != 3 or images.shape[0] not in _LAYOUTS:
            expected = " or ".join(f"{count:,}" for count in _LAYOUTS)
            raise SourceError(
                f"{self.uri}: {_IMAGES} {list(images.shape)}, expected [n, height, width, 3] with n = {expected};"
                " is it a file of MPI3D?"
            )
        return {_IMAGES: images.rows()}

    def blocks(self) -> Iterator[Block]:
        """Yield the labels of all rows, told by their places."""
        count = self.arrays()[_IMAGES].num_rows
        layout = _LAYOUTS[count]
        for first in range(0, count, BLOCK_ROWS):
            places = np.arange(first, min(first + BLOCK_ROWS, count))
            codes = np.unravel_index(places, [len(values) for values in layout.values()])
            named = zip(layout.items(), codes, strict=True)
            yield Block(_IMAGES, first, {name: name_values(self.uri, values, code) for (name, values), code in named})
