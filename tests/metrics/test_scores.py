"""Scores of editors whose skill is known: one paints exactly what its codes say, another always paints the donor."""

import logging
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from diffusegae.config.model import SamplingConfig
from diffusegae.data.lookup import ImageLookup
from diffusegae.editing.editor import Editor
from diffusegae.images import to_pixels, to_tensor
from diffusegae.metrics.batched import BatchedEditor, Progress
from diffusegae.metrics.classifier import AttributeClassifier, LabelledImages
from diffusegae.metrics.counterfactual import Closeness, RecombinationScores
from diffusegae.metrics.judging import Judging, labels_of
from diffusegae.metrics.plan import plan_evaluation
from diffusegae.metrics.scores import planned_steps, pool_scores, score_images
from diffusegae.schema import AttributeSchema
from tests.stored_images import paint
from tests.tiny import smoke_config

CONFIG = smoke_config("evaluate.num_reconstructions=7", "evaluate.num_edits=12", "evaluate.num_pictures=2")


def read_labels(images: Tensor) -> Tensor:
    """Read kind, instance, ground and pose back from painted stripes."""
    pixels = to_pixels(images).astype(np.float64)
    means = [pixels[:, 8 * s : 8 * s + 8, :, s % 3].mean(axis=(1, 2)) for s in range(4)]
    return torch.from_numpy(np.stack(means, axis=1)).sub(60).div(30).round().long()


class Reader(AttributeClassifier):
    """Judges painted pictures without error."""

    def __init__(self) -> None:
        super().__init__(32, (3, 4, 5))

    def predict(self, images: Tensor) -> Tensor:
        return read_labels(images)[:, [0, 2, 3]]


class Painter(Editor):
    """Encodes a picture as its labels, each in its part of the code, and paints what a code says."""

    def __init__(self, sampling: SamplingConfig, *, obeys: bool) -> None:
        self.sampling, self.device, self.obeys = sampling, torch.device("cpu"), obeys

    def with_sampling(self, sampling: SamplingConfig) -> "Painter":
        return Painter(sampling, obeys=self.obeys)

    def encode(self, images: Tensor) -> Tensor:
        codes = torch.zeros(len(images), 24)
        codes[:, [0, 1, 8, 16]] = read_labels(images).float()
        return codes

    def infer_noise(self, images: Tensor, codes: Tensor) -> Tensor:
        return torch.zeros_like(images)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        return torch.zeros(len(seeds), 3, 32, 32)

    def generate(self, codes: Tensor, x_T: Tensor, on_step: object = None) -> Tensor:
        labels = codes[:, [0, 1, 8, 16]].long().numpy()
        if not self.obeys:
            labels = np.zeros_like(labels)
        return to_tensor(np.stack([paint(row.tolist()) for row in labels]))


@pytest.fixture(scope="module")
def judging(painted: ImageLookup, painted_schema: AttributeSchema) -> Judging:
    plan = plan_evaluation(painted, painted_schema, CONFIG.evaluate, seed=0)
    train = LabelledImages(painted.take(plan.train), labels_of(painted, plan.train, painted_schema))
    return Judging(painted, painted_schema, CONFIG, plan, train, train, Reader(), None, ())


def batched(obeys: bool, progress: Progress) -> BatchedEditor:
    return BatchedEditor("painter", Painter(CONFIG.sampling, obeys=obeys), 5, progress)


def test_a_perfect_editor_scores_perfectly_and_takes_the_planned_steps(
    judging: Judging, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "diffusegae.metrics")
    progress = Progress(planned_steps(judging.plan, CONFIG, 3))
    scores, examples = score_images(batched(True, progress), judging)
    metrics = scores.as_metrics()
    shares = {name: value for name, value in metrics.items() if name.endswith(("right", "ssim"))}
    assert shares == pytest.approx(dict.fromkeys(shares, 1.0))
    assert all(value == 0 for name, value in metrics.items() if name.endswith("mse"))
    assert (metrics["counterfactual/replace/count"], metrics["counterfactual/recombine/count"]) == (12, 12)
    assert progress.done == progress.planned
    assert caplog.messages[0].startswith(f"evaluate: {progress.planned:,} denoising steps of an image; how long")
    progress.finish()
    assert caplog.messages[-1].startswith("evaluate: took 0:0")
    assert np.array_equal(
        examples.replaced, judging.lookup.take(judging.plan.replaced_truths[:2].ravel()).reshape(2, 3, 32, 32, 3)
    )
    assert np.array_equal(examples.recombined, judging.lookup.take(judging.plan.recombined_truths[:2]))


def test_an_editor_that_paints_one_picture_is_right_as_often_as_that_picture_is(judging: Judging) -> None:
    scores, _ = score_images(batched(False, Progress(1)), judging)
    wanted = judging.plan.recombined_labels
    assert scores.recombination.right["pose"] == pytest.approx(float((wanted[:, 2] == 0).mean()))
    by_ground = judging.plan.replaced_labels[:, 1]
    replaced = scores.replacement.by_attribute["ground"]
    assert replaced.swapped_right == pytest.approx(float((by_ground[:, 1] == 0).mean()))
    assert replaced.kept_right == pytest.approx(float((by_ground[:, [0, 2]] == 0).mean()))
    assert scores.replacement.overall.closeness.mse > 0


def test_true_images_are_their_own_ceiling(judging: Judging) -> None:
    truths = judging.score_truths()
    assert truths is not None
    assert truths.all_right == 1.0


def test_pooling_weighs_by_count() -> None:
    def scores(count: int, value: float, lpips: float | None) -> RecombinationScores:
        return RecombinationScores(count, Closeness(value, value, lpips), {"pose": value}, value)

    pooled = pool_scores([scores(3, 1.0, 1.0), scores(1, 0.0, 0.0)])
    assert pooled == RecombinationScores(4, Closeness(0.75, 0.75, 0.75), {"pose": 0.75}, 0.75)
    assert pool_scores([scores(3, 1.0, None)]).closeness.lpips is None
