"""Figures of edits, with a judge that reads labels written into the pixels, so that every figure is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusegae.metrics.distances import mse, ssim
from diffusegae.metrics.edits import (
    closeness,
    copied,
    nearest,
    read_right,
    reading_figures,
    replacement_figures,
    thumbnails,
)
from diffusegae.pixels import to_unit

NAMES = ("kind", "ground", "pose")
KNOWN = [np.ones(10, dtype=bool)] * 3
NAN = float("nan")


class PixelJudge:
    """Reads attribute a from the first pixel of channel a, in tenths."""

    def predict(self, images: Tensor) -> Tensor:
        return (images[:, :, 0, 0] * 10).round().long()


def picture(labels: list[list[int]]) -> Tensor:
    return (torch.tensor(labels) / 10).view(-1, 3, 1, 1).expand(-1, -1, 16, 16).contiguous()


def absolute(images: Tensor, truth: Tensor) -> Tensor:
    return (images - truth).abs().mean(dim=(1, 2, 3))


TARGETS = np.array([[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]])
# Right; kept attribute 1 wrong; swapped attribute 2 wrong; both kept attributes wrong.
EDITED = picture([[1, 2, 3], [1, 0, 3], [4, 5, 0], [0, 0, 6]])
SWAPPED = np.array([0, 0, 2, 2])


def same(values: np.ndarray, expected: list[float]) -> bool:
    return np.array_equal(values, np.array(expected), equal_nan=True)


def test_replacement_tells_swapped_from_kept_by_picture_and_attribute() -> None:
    right = read_right(PixelJudge(), EDITED, TARGETS, KNOWN)
    found = replacement_figures({"mse": np.arange(4.0)}, right, SWAPPED, NAMES)
    assert same(found["swapped"], [1, 1, 0, 1])
    assert same(found["kept"], [1, 0.5, 1, 0])
    assert same(found["all_kept"], [1, 0, 1, 0])
    assert same(found["swapped/kind"], [1, 1, NAN, NAN])
    assert same(found["mse/pose"], [NAN, NAN, 2, 3])
    assert same(found["kept/ground"], [NAN] * 4)
    assert len(found) == 4 * (1 + len(NAMES))


def test_what_the_judge_has_never_seen_is_not_asked_of_it() -> None:
    known = [values.copy() for values in KNOWN]
    known[1][5] = False  # ground 5, the target of the last two
    right = read_right(PixelJudge(), EDITED, TARGETS, known)
    assert same(right[:, 1], [1, 0, NAN, NAN])
    found = replacement_figures({}, right, SWAPPED, NAMES)
    assert same(found["kept"], [1, 0.5, 1, 0])
    assert same(replacement_figures({}, right, np.ones(4, dtype=int), NAMES)["swapped"], [1, 0, NAN, NAN])
    nothing = reading_figures(np.full((1, 3), NAN), NAMES)
    assert same(nothing["all_right"], [NAN])


def test_readings_name_each_attribute_and_all_of_them() -> None:
    found = reading_figures(read_right(PixelJudge(), EDITED, TARGETS, KNOWN), NAMES)
    assert same(found["right/ground"], [1, 0, 1, 0])
    assert same(found["all_right"], [1, 0, 0, 0])


def test_closeness_is_measured_on_unit_range_for_more_images_than_a_chunk_and_not_where_there_is_no_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    images, truth = (torch.rand(300, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2))
    found = closeness(images, truth)
    np.testing.assert_allclose(found["mse"], mse(to_unit(images), to_unit(truth)).numpy(), rtol=1e-5)
    np.testing.assert_allclose(found["ssim"], ssim(to_unit(images), to_unit(truth)).numpy(), rtol=1e-3, atol=1e-5)
    assert set(found) == {"mse", "ssim"}
    truth[7] = torch.nan
    for values in closeness(images, truth, absolute).values():
        assert np.flatnonzero(np.isnan(values)).tolist() == [7]
    assert closeness(images[:3], images[:3], absolute)["lpips"].tolist() == [0.0] * 3


def test_nearest_is_over_all_training_images_at_their_thumbnails() -> None:
    images = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    training = torch.rand(9, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    small, others = thumbnails(images), thumbnails(training)
    assert small.shape[-1] == 32
    assert torch.equal(thumbnails(small), small)
    expected = (small[:, None] - others[None]).square().mean(dim=(2, 3, 4)).amin(dim=1)
    assert nearest(images, training) == pytest.approx(expected.numpy(), rel=1e-4)
    assert nearest(images, others) == pytest.approx(expected.numpy(), rel=1e-4)
    assert copied(images, torch.full_like(images, torch.nan), training).tolist() == pytest.approx(
        [NAN] * 5, nan_ok=True
    )
