"""Edits held against the truth, picture by picture: how close they are, what the judge reads, what was copied.

Replacement changes one attribute of a picture and keeps the others (Fig. 6); recombination takes every attribute from
another picture (Fig. 7). Where the picture that either should give exists, both are measured, not shown. Every figure
is an array over the pictures, NaN where it was not measured, so that means are taken last, by stratum and with an
interval.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor
from torch.nn import functional as F

from diffusegae.metrics.distances import Images, mse, ssim
from diffusegae.metrics.quantity import Quantity
from diffusegae.pixels import to_unit

QUANTITIES = (
    Quantity("right", "shows the wanted value", "higher"),
    Quantity("all_right", "shows all wanted values", "higher"),
    Quantity("swapped", "shows the new value", "higher"),
    Quantity("kept", "kept attributes that stay", "higher"),
    Quantity("all_kept", "keeps all others", "higher"),
    Quantity("copied", "copies of training images", "lower"),
    Quantity("rendered", "truths rendered anew", None),
    Quantity("held_out", "truths among held-out images", None),
    Quantity("none", "edits without a truth", None),
    Quantity("count", "pictures", None, "count"),
)
CHUNK = 256  # images that pass a network at a time
THUMBNAIL = 32  # pixels, at which copies are looked for
# A picture on the line from the truth to its nearest training image has a quarter of that distance (MSE) left at the
# middle: closer than that it is more of the training image than of the truth. Noise of its own takes a picture away
# from every training image, so that an honest editor is at 1 and beyond, and a blurred one a little below.
COPY_FACTOR = 0.25

Perceptual = Callable[[Tensor, Tensor], Tensor]
Training = Float[Tensor, "rows 3 tall wide"]
Figures = dict[str, Float[np.ndarray, " _"]]  # one value for each picture


@runtime_checkable  # for the run-time shape checks of the tests
class Judge(Protocol):
    """What reads attributes from pictures (`classifier.AttributeClassifier`)."""

    def predict(self, images: Images) -> Int[Tensor, "batch m"]:
        """Return the value of each attribute of images in [-1, 1]."""
        ...


@torch.no_grad()
def closeness(images: Images, truth: Images, perceptual: Perceptual | None = None) -> Figures:
    """Return `mse`, `ssim` and, if there is a perceptual distance, `lpips` of each pair of images in [-1, 1].

    MSE and SSIM are on [0, 1]. All are NaN where the truth is.
    """
    chunks: dict[str, list[Tensor]] = {}
    for image, true in zip(torch.split(images, CHUNK), torch.split(truth, CHUNK), strict=True):
        found = {"mse": mse(to_unit(image), to_unit(true)), "ssim": ssim(to_unit(image), to_unit(true))}
        if perceptual is not None:
            found["lpips"] = perceptual(image, true.nan_to_num())
        is_missing = true.isnan().any(dim=(1, 2, 3))
        for name, values in found.items():
            chunks.setdefault(name, []).append(values.masked_fill(is_missing, torch.nan).double().cpu())
    return {name: torch.cat(values).numpy() for name, values in chunks.items()}


def read_right(
    judge: Judge, images: Images, targets: Integer[np.ndarray, "n m"], known: Sequence[Bool[np.ndarray, "_"]]
) -> Float[np.ndarray, "n m"]:
    """Return 1 where the judge reads the wanted value from images in [-1, 1], else 0.

    `known[a][v]` says that a training image shows value v of attribute a; NaN where none does, for then the judge has
    never seen what it should name.
    """
    answers = torch.cat([judge.predict(chunk) for chunk in torch.split(images, CHUNK)]).cpu().numpy()
    is_known = np.stack([values[targets[:, a]] for a, values in enumerate(known)], axis=1)
    return np.where(is_known, answers == targets, np.nan)


def reading_figures(right: Float[np.ndarray, "n m"], names: Sequence[str]) -> Figures:
    """Return `right/<attribute>` and `all_right` of pictures that should show all of their targets.

    The latter asks only for what is known; it is NaN where nothing is.
    """
    return {f"right/{name}": right[:, a] for a, name in enumerate(names)} | {"all_right": _all(right)}


def replacement_figures(
    figures: Figures, right: Float[np.ndarray, "n m"], swapped: Integer[np.ndarray, " n"], names: Sequence[str]
) -> Figures:
    """Return the given figures of edits that replaced attribute `swapped[i]`, with `swapped`, `kept` and `all_kept`.

    `kept` is the share of the other attributes, of those known, that still show theirs. Each figure is there again as
    `<figure>/<attribute>`, with the edits of that attribute alone and NaN for others.
    """
    is_swapped = swapped[:, None] == np.arange(len(names))
    kept = np.where(is_swapped, np.nan, right)
    share = np.nansum(kept, axis=1) / np.where(np.isnan(kept).all(axis=1), np.nan, (~np.isnan(kept)).sum(axis=1))
    whole = {**figures, "swapped": right[np.arange(len(right)), swapped], "kept": share, "all_kept": _all(kept)}
    for figure, (a, name) in product(tuple(whole), enumerate(names)):
        whole[f"{figure}/{name}"] = np.where(is_swapped[:, a], whole[figure], np.nan)
    return whole


def copied(images: Images, truth: Images, training: Training) -> Float[np.ndarray, " n"]:
    """Return 1 where an image is a copy of a training image instead of what it should be, else 0.

    A copy lies nearer than COPY_FACTOR to its nearest training image, measured against how far the truth, which was
    never seen, lies from its own. NaN where the truth is. All are in [-1, 1]; `training` may come pooled already.
    """
    pictures = thumbnails(training)
    reach = nearest(truth, pictures)
    return np.where(np.isnan(reach), np.nan, nearest(images, pictures) < COPY_FACTOR * reach)


def nearest(images: Images, training: Training) -> Float[np.ndarray, " n"]:
    """Return the MSE between the thumbnail of each image and of the training image nearest to it, in their range."""
    rows = thumbnails(training).flatten(1).to(images.device)
    distances = []
    for chunk in torch.split(thumbnails(images).flatten(1), CHUNK):
        squares = [chunk.square().sum(1, True) - 2 * chunk @ part.T + part.square().sum(1) for part in rows.split(8192)]
        distances.append(torch.stack([each.amin(dim=1) for each in squares]).amin(dim=0).clamp(min=0) / rows.shape[1])
    return torch.cat(distances).double().cpu().numpy()


def thumbnails(images: Images) -> Float[Tensor, "n 3 tall wide"]:
    """Return images pooled to THUMBNAIL pixels; smaller ones stay."""
    return images if images.shape[-1] <= THUMBNAIL else F.adaptive_avg_pool2d(images, THUMBNAIL)


def _all(right: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    """Return 1 where all that is known is right, 0 where something isn't, NaN where nothing is known."""
    return np.where(np.isnan(right).all(axis=1), np.nan, (np.nan_to_num(right, nan=1.0) == 1).all(axis=1))
