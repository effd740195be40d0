"""Pictures that are drawn with several samples a pixel: their means, and these as levels of 256."""

import numpy as np
import numpy.typing as npt

from diffusegae.data.vehicles.solids import Array


def average(picture: Array, samples: int) -> Array:
    """Return the mean of each pixel's samples: [size, size, channels] of [samples size, samples size, channels]."""
    size = picture.shape[0] // samples
    return np.asarray(picture.reshape(size, samples, size, samples, -1).mean(axis=(1, 3)))


def to_levels(picture: Array) -> npt.NDArray[np.uint8]:
    """Return a picture in [0, 1] as levels; what lies outside is clipped."""
    return np.asarray(np.rint(np.clip(picture, 0.0, 1.0) * 255.0), dtype=np.uint8)
