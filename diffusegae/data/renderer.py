"""True pictures as a data set would store them: what its source renders, through its encoding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, UInt8

from diffusegae.config.data import DataConfig
from diffusegae.data.sources.source import Renderer
from diffusegae.images import Encoding, decode_image, encode_image


@dataclass(frozen=True)
class StoredRenderer:
    """Renders what a source can render, as it would be stored."""

    renderer: Renderer
    encoding: Encoding
    quality: int

    def render(
        self, labels: Mapping[str, Integer[np.ndarray, " n"]], draws: Sequence[int] | Integer[np.ndarray, " n"]
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Render labels as `Renderer.render` does, encode and decode them."""
        pixels = self.renderer.render(labels, draws)
        if self.encoding == "png":
            return pixels
        return np.stack([decode_image(encode_image(picture, self.encoding, self.quality)) for picture in pixels])


def open_renderer(data: DataConfig, image_size: int) -> StoredRenderer | None:
    """Open what renders the true picture of any GROUP labels.

    None where the source can't: it is finite, has nothing to draw anew, or the labels don't say all that is shown.
    """
    columns = [spec.columns(name)[1] for name, spec in data.attributes.items()]
    renderer = data.source.renderer(image_size, columns)
    return StoredRenderer(renderer, data.encoding, data.quality) if renderer else None
