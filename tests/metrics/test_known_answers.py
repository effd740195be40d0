"""Worlds whose answer is known: what leaks and what doesn't, a judge that cheats, an editor that copies.

Each must be told apart by the figures that reports show.
"""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from diffusegae.metrics.classifier import ClassifierSettings, LabelledImages, train_classifier
from diffusegae.metrics.edits import Judge, copied, read_right, reading_figures
from diffusegae.metrics.probe import LabelledCodes, PartReadings, Probe, measure_parts, read_linear, read_mlp
from diffusegae.metrics.uncertainty import Interval, resample
from diffusegae.pixels import to_tensor
from diffusegae.tuning.matrix import ProbeMatrix

VALUES = (6, 5)
NAMES = ("thing", "ground")
NOISE = 4
PARTS = (slice(0, 6 + NOISE), slice(6 + NOISE, 11 + 2 * NOISE))
BOTH = pytest.mark.parametrize("probe", [read_linear, read_mlp])


def factorial_labels(seed: int, n: int, held_out: bool) -> np.ndarray:
    """Draw labels of a set in which training has half of the rows of every fourth combination, the test the rest."""
    random = np.random.default_rng(seed)
    combinations = np.array(list(product(*map(range, VALUES))))
    rare = np.arange(len(combinations)) % 4 == 0
    shares = np.where(rare, 1.5 if held_out else 0.5, 0.5 if held_out else 1.0)
    return combinations[random.choice(len(combinations), n, p=shares / shares.sum())]


def one_hot_codes(labels: np.ndarray, seed: int) -> np.ndarray:
    """Give each attribute a part with its value and dimensions of noise."""
    random, columns = np.random.default_rng(seed), []
    for a, count in enumerate(VALUES):
        columns += [np.eye(count)[labels[:, a]], random.normal(size=(len(labels), NOISE))]
    return np.concatenate(columns, axis=1)


def show_foreign(codes: np.ndarray, labels: np.ndarray, seed: int, share: float) -> np.ndarray:
    """Let the noise of the thing's part show the ground, plainly, in a share of the rows."""
    shows = np.random.default_rng(seed).random(len(codes)) < share
    codes = codes.copy()
    codes[:, 6:10] += shows[:, None] * 12 * np.eye(5)[labels[:, 1]][:, :NOISE] - 6 * shows[:, None]
    return codes


def read(share: float, probe: Probe) -> PartReadings:
    def draw(seed: int, n: int, held_out: bool) -> LabelledCodes:
        labels = factorial_labels(seed, n, held_out)
        return LabelledCodes(show_foreign(one_hot_codes(labels, seed), labels, seed + 9, share), labels)

    train, test = draw(0, 6000, held_out=False), draw(1, 2500, held_out=True)
    return measure_parts(train, test, PARTS, NAMES, VALUES, seed=0, probe=probe, full=False)


def interval_of(readings: PartReadings, name: str = "leak") -> Interval:
    values = readings.figures()[name][:, None]
    return resample([np.arange(len(values))], [values], seed=0).interval()


@BOTH
def test_codes_that_leak_nothing_have_a_leak_of_zero_though_they_score_below_chance(probe: Probe) -> None:
    readings = read(0.0, probe)
    leak = interval_of(readings)
    assert leak.low <= 0 <= leak.high
    assert leak.high - leak.low < 0.05
    matrix = ProbeMatrix.of(readings)
    assert (matrix.accuracy - matrix.chance)[0, 1] < -0.03  # what counted from chance hid a leak of as much


@BOTH
def test_codes_that_leak_in_a_twentieth_of_the_rows_are_told_apart(probe: Probe) -> None:
    readings = read(0.05, probe)
    leak = interval_of(readings, "leak/thing/ground")
    assert 0 < leak.low <= 0.05 <= leak.high + 0.01
    other = interval_of(readings, "leak/ground/thing")
    assert other.low <= 0 <= other.high


def hide_in_a_product(seed: int, n: int) -> LabelledCodes:
    """Let two dimensions of the first part have a product that is the other attribute's bit."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (n, 2))
    signs = np.where(random.random(n) < 0.5, 1, -1)
    hidden = np.stack([signs, signs * (2 * labels[:, 1] - 1)], axis=1)
    codes = np.concatenate([np.eye(2)[labels[:, 0]], hidden, np.eye(2)[labels[:, 1]]], axis=1)
    return LabelledCodes(codes + 0.3 * random.normal(size=codes.shape), labels)


def test_a_leak_that_no_linear_probe_reads_is_read_by_the_mlp() -> None:
    train, test = hide_in_a_product(0, 4000), hide_in_a_product(1, 2000)
    parts = (slice(0, 4), slice(4, 6))
    linear, mlp = (
        measure_parts(train, test, parts, NAMES, (2, 2), seed=0, probe=probe, full=False)
        for probe in (read_linear, read_mlp)
    )
    leak = interval_of(linear, "leak/thing/ground")
    assert leak.low <= 0 <= leak.high
    assert interval_of(mlp, "leak/thing/ground").low > 0.4


def squares(seed: int, n: int) -> LabelledImages:
    """Draw a bright square left or right (attribute 0) on one of three grounds (attribute 1), with noise."""
    random = np.random.default_rng(seed)
    labels = np.stack([random.integers(0, 2, n), random.integers(0, 3, n)], axis=1)
    images = np.full((n, 32, 32, 3), 50, np.uint8)
    images[np.arange(n), :, :, labels[:, 1]] = 200
    for image, side in zip(images, labels[:, 0], strict=True):
        image[10:22, 4 + 16 * side : 12 + 16 * side] = 255
    noise = random.integers(-25, 26, images.shape)
    return LabelledImages(np.clip(images + noise, 0, 255).astype(np.uint8), labels)


class KnowsTruthsByHeart:
    """Answers with the labels of the known truth nearest to a picture, if it is one, and with 0 else."""

    def __init__(self, truths: LabelledImages) -> None:
        self.truths, self.labels = to_tensor(truths.images).flatten(1), torch.from_numpy(truths.labels)

    def predict(self, images: Tensor) -> Tensor:
        distance, row = torch.cdist(images.flatten(1), self.truths).min(dim=1)
        return torch.where(distance[:, None] < 1.0, self.labels[row], torch.zeros_like(self.labels[row]))


class AgreesToAnything:
    """Answers what it is hoped to say of the edits, in their order, whatever the pictures."""

    def __init__(self, wanted: np.ndarray) -> None:
        self.wanted = torch.from_numpy(wanted)

    def predict(self, images: Tensor) -> Tensor:
        return self.wanted[: len(images)]


def test_a_judge_that_cheats_is_told_apart_by_unseen_true_pictures_and_unedited_sources() -> None:
    truths, sources, unseen = (squares(seed, 90) for seed in (1, 2, 3))
    settings = ClassifierSettings(epochs=10, batch_size=32)
    honest = train_classifier(squares(0, 300), (2, 3), seed=0, settings=settings)
    known = [np.ones(2, dtype=bool), np.ones(3, dtype=bool)]
    judges: dict[Judge, bool] = {
        honest: True,
        KnowsTruthsByHeart(truths): False,
        AgreesToAnything(truths.labels): False,
    }
    for judge, is_honest in judges.items():
        right = [read_right(judge, to_tensor(data.images), data.labels, known) for data in (truths, unseen, sources)]
        on_truths, on_unseen, unedited = (reading_figures(each, NAMES)["all_right"].mean() for each in right)
        assert on_truths > 0.95  # by the edits' truths alone all three look perfect
        assert (on_unseen > 0.95) == (unedited > 0.95) == is_honest
        assert is_honest or max(on_unseen, unedited) < 0.4


def landscapes(seed: int, n: int) -> Tensor:
    """Draw smooth pictures at random, of 64 pixels."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(n, 3, 6, 6, generator=generator) * 2 - 1
    return F.interpolate(small, size=64, mode="bicubic").clamp(-1, 1)


def test_an_editor_that_returns_training_images_is_told_from_honest_ones() -> None:
    training = landscapes(0, 200)
    # A truth is a training image in which a quarter is new: its nearest training image is that one.
    truth = training[:60].clone()
    truth[:, :, :32, :32] = landscapes(1, 60)[:, :, :32, :32]
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(2))
    blurred = F.avg_pool2d(F.pad(truth, (4, 4, 4, 4), mode="replicate"), 9, stride=1)
    honest = {"exact": truth, "noisy": truth + 0.2 * noise, "blurred": blurred, "other": landscapes(3, 60)}
    for pictures in honest.values():
        assert copied(pictures, truth, training).mean() < 0.02
    copies = {"exact": training[:60], "noisy": training[:60] + 0.2 * noise, "any": training[60:120]}
    for pictures in copies.values():
        assert copied(pictures, truth, training).mean() > 0.98
