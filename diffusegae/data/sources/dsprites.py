"""dSprites: white shapes on black by five factors that vary, every combination once, in one compressed .npz.

Layout (github.com/google-deepmind/dsprites-dataset): `imgs` uint8 [737280, 64, 64] of 0 and 1, `latents_classes`
int64 [737280, 6] by color, shape, scale, orientation, x, y. Orientation 0 and 39 are the same angle, 0 and 2 pi.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np

from diffusegae.data.records import SourceError
from diffusegae.data.sources.arrays import BLOCK_ROWS, Block, Pixels, Rows, name_values, numbered
from diffusegae.data.sources.npz import NpzConfig, open_npz

_IMAGES, _CLASSES = "imgs", "latents_classes"
_VALUES: dict[str, tuple[str, ...]] = {
    "color": ("white",),
    "shape": ("square", "ellipse", "heart"),
    "scale": ("0.5", "0.6", "0.7", "0.8", "0.9", "1.0"),
    "orientation": numbered(40),
    "x": numbered(32),
    "y": numbered(32),
}


class DspritesConfig(NpzConfig):
    """dSprites (dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz): shape, scale, orientation, x, y."""

    kind: Literal["dsprites"] = "dsprites"
    factors: ClassVar[tuple[str, ...]] = tuple(_VALUES)

    def named_values(self) -> Mapping[str, Sequence[str]]:
        """Return the values of columns whose values have names, in their own order."""
        return _VALUES

    def arrays(self) -> Mapping[str, Rows]:
        """Open the masks; SourceError if they are missing, damaged or of another layout."""
        images, classes = open_npz(self.uri, _IMAGES), open_npz(self.uri, _CLASSES)
        if len(images.shape) != 3 or classes.shape != (images.shape[0], len(_VALUES)):
            raise SourceError(
                f"{self.uri}: {_IMAGES} {list(images.shape)} and {_CLASSES} {list(classes.shape)}, expected"
                f" [n, height, width] and [n, {len(_VALUES)}]; is it dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz?"
            )
        return {_IMAGES: images.rows()}

    def blocks(self) -> Iterator[Block]:
        """Yield the labels of all rows."""
        for number, codes in enumerate(open_npz(self.uri, _CLASSES).blocks(BLOCK_ROWS)):
            labels = {
                name: name_values(self.uri, values, codes[:, place].astype(np.int64))
                for place, (name, values) in enumerate(_VALUES.items())
            }
            yield Block(_IMAGES, number * BLOCK_ROWS, labels)

    def to_rgb(self, content: Pixels) -> Pixels:
        """Turn masks of 0 and 1 into black and white."""
        return np.repeat(content[..., None] * np.uint8(255), 3, axis=-1)
