"""Scores of edits, with a judge that reads labels written into the pixels, so that every figure is known."""

import pytest
import torch
from torch import Tensor

from diffusegae.images import to_unit
from diffusegae.metrics.counterfactual import measure_closeness, score_recombinations, score_replacements
from diffusegae.metrics.distances import mse, ssim

NAMES = ("kind", "ground", "pose")


class PixelJudge:
    """Reads attribute a from the first pixel of channel a, in tenths."""

    def predict(self, images: Tensor) -> Tensor:
        return (images[:, :, 0, 0] * 10).round().long()


def picture(labels: list[list[int]]) -> Tensor:
    return (torch.tensor(labels) / 10).view(-1, 3, 1, 1).expand(-1, -1, 16, 16).contiguous()


def absolute(images: Tensor, truth: Tensor) -> Tensor:
    return (images - truth).abs().mean(dim=(1, 2, 3))


TARGETS = torch.tensor([[1, 2, 3], [1, 2, 3], [4, 5, 6], [4, 5, 6]])
# Right; kept attribute 1 wrong; swapped attribute 2 wrong; both kept attributes wrong.
EDITED = picture([[1, 2, 3], [1, 0, 3], [4, 5, 0], [0, 0, 6]])
SWAPPED = torch.tensor([0, 0, 2, 2])


def test_replacement_tells_swapped_from_kept() -> None:
    scores = score_replacements(EDITED, picture(TARGETS.tolist()), TARGETS, SWAPPED, PixelJudge(), NAMES)
    assert scores.overall.count == 4
    assert scores.overall.swapped_right == 3 / 4
    assert scores.overall.kept_right == 5 / 8
    assert scores.overall.all_kept_right == 2 / 4
    assert set(scores.by_attribute) == {"kind", "pose"}
    kind, pose = scores.by_attribute["kind"], scores.by_attribute["pose"]
    assert (kind.count, kind.swapped_right, kind.kept_right, kind.all_kept_right) == (2, 1.0, 3 / 4, 1 / 2)
    assert (pose.count, pose.swapped_right, pose.kept_right, pose.all_kept_right) == (2, 1 / 2, 1 / 2, 1 / 2)


def test_replacement_metrics_are_flat_and_leave_out_what_was_not_measured() -> None:
    truth = picture(TARGETS.tolist())
    metrics = score_replacements(EDITED, truth, TARGETS, SWAPPED, PixelJudge(), NAMES).as_metrics()
    assert metrics["counterfactual/replace/pose/swapped_right"] == 1 / 2
    assert metrics["counterfactual/replace/kept_right"] == 5 / 8
    assert not any("lpips" in name for name in metrics)
    measured = score_replacements(EDITED, truth, TARGETS, SWAPPED, PixelJudge(), NAMES, absolute)
    assert measured.as_metrics()["counterfactual/replace/kind/lpips"] == pytest.approx(0.2 / 3 / 2)


def test_recombination_scores_each_attribute() -> None:
    scores = score_recombinations(EDITED, picture(TARGETS.tolist()), TARGETS, PixelJudge(), NAMES, absolute)
    assert scores.right == {"kind": 3 / 4, "ground": 2 / 4, "pose": 3 / 4}
    assert scores.all_right == 1 / 4
    metrics = scores.as_metrics()
    assert metrics["counterfactual/recombine/ground/right"] == 2 / 4
    assert metrics["counterfactual/recombine/lpips"] == pytest.approx(
        float(absolute(EDITED, picture(TARGETS.tolist())).mean())
    )


def test_closeness_is_measured_on_unit_range_for_more_images_than_a_chunk() -> None:
    generator = torch.Generator().manual_seed(0)
    images, truth = (torch.rand(300, 3, 16, 16, generator=generator) * 2 - 1 for _ in range(2))
    closeness = measure_closeness(images, truth)
    assert closeness.mse == pytest.approx(float(mse(to_unit(images), to_unit(truth)).mean()), rel=1e-5)
    assert closeness.ssim == pytest.approx(float(ssim(to_unit(images), to_unit(truth)).mean()), rel=1e-4)
    assert closeness.lpips is None
    assert measure_closeness(truth, truth, absolute).lpips == 0.0
