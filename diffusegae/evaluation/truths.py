"""True pictures of edits that nothing was trained on: rendered with a draw of their own, or held-out images."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int8, Integer, UInt8

from diffusegae.data.lookup import NOT_FOUND, ImageLookup
from diffusegae.data.sources.source import Renderer
from diffusegae.pixels import to_tensor
from diffusegae.schema import AttributeSchema

NO_IMAGE = 128  # the grey of a picture that does not exist
KINDS = ("rendered", "held_out", "none")


@dataclass(frozen=True)
class Truths:
    """Where true pictures come from; `draws` beside labels say which camera and light a rendered one gets."""

    lookup: ImageLookup
    schema: AttributeSchema
    renderer: Renderer | None

    def pixels(
        self,
        labels: Integer[np.ndarray, "n 2 m"],
        rows: Integer[np.ndarray, " n"],
        draws: Integer[np.ndarray, " n"],
    ) -> UInt8[np.ndarray, "n size size 3"]:
        """Return true pictures of labels, grey where there is none."""
        if self.renderer is None:
            pixels = self.lookup.take(rows.clip(min=0))
            pixels[rows == NOT_FOUND] = NO_IMAGE
            return pixels
        columns = dict(zip(self.schema.columns, labels[:, 0].T, strict=True))
        columns |= dict(zip(self.schema.group_columns, labels[:, 1].T, strict=True))
        return self.renderer.render(columns, draws)

    def images(
        self, pixels: UInt8[np.ndarray, "n size size 3"], kinds: Int8[np.ndarray, " n"]
    ) -> Float[torch.Tensor, "n 3 size size"]:
        """Return true pictures in [-1, 1], NaN where there is none."""
        images = to_tensor(pixels)
        images[torch.from_numpy(kinds == KINDS.index("none"))] = torch.nan
        return images

    def kinds(self, rows: Integer[np.ndarray, " n"]) -> Int8[np.ndarray, " n"]:
        """Return which of KINDS each true picture is."""
        if self.renderer is not None:
            return np.zeros(rows.shape, np.int8)
        return np.where(rows == NOT_FOUND, KINDS.index("none"), KINDS.index("held_out")).astype(np.int8)
