"""The judge on coloured squares: it learns, repeats itself, survives a round trip and names bad input."""

import numpy as np
import pytest
import torch

from diffusegae.metrics.classifier import (
    AttributeClassifier,
    ClassifierError,
    ClassifierSettings,
    LabelledImages,
    augment,
    train_classifier,
)
from diffusegae.pixels import to_tensor

SETTINGS = ClassifierSettings(epochs=6, batch_size=32)


def coloured_squares(n: int, size: int = 32) -> LabelledImages:
    """Draw a bright square left or right (attribute 0) on one of three grounds (attribute 1)."""
    random = np.random.default_rng(n)
    labels = np.stack([random.integers(0, 2, n), random.integers(0, 3, n)], axis=1)
    grounds = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], np.uint8)
    images = np.broadcast_to(grounds[labels[:, 1], None, None], (n, size, size, 3)).copy()
    for image, side in zip(images, labels[:, 0], strict=True):
        left = size // 8 + side * size // 2
        image[size // 3 : 2 * size // 3, left : left + size // 4] = 255
    return LabelledImages(images, labels)


def accuracy(judge: AttributeClassifier, data: LabelledImages) -> list[float]:
    answers = judge.predict(to_tensor(data.images)).numpy()
    return np.mean(answers == data.labels, axis=0).tolist()


@pytest.fixture(scope="module")
def trained() -> AttributeClassifier:
    return train_classifier(coloured_squares(160), (2, 3), seed=0, settings=SETTINGS)


def test_learns_to_read_images_that_it_has_not_seen(trained: AttributeClassifier) -> None:
    assert not trained.training
    assert accuracy(trained, coloured_squares(50)) == [1.0, 1.0]


def test_prediction_does_not_depend_on_the_batch(trained: AttributeClassifier) -> None:
    images = to_tensor(coloured_squares(9).images)
    single = torch.cat([trained.predict(image[None]) for image in images])
    assert torch.equal(trained.predict(images), single)


def test_overshooting_images_are_read_as_clipped_ones(trained: AttributeClassifier) -> None:
    images = 3.0 * to_tensor(coloured_squares(6).images)
    assert torch.equal(trained(images.clamp(-1, 1))[0].argmax(dim=1), trained.predict(images)[:, 0])


def test_bytes_rebuild_the_same_judge(trained: AttributeClassifier) -> None:
    again = AttributeClassifier.from_bytes(trained.to_bytes())
    images = to_tensor(coloured_squares(5).images)
    for ours, theirs in zip(trained(images), again(images), strict=True):
        assert torch.equal(ours, theirs)
    assert (again.image_size, again.cardinalities) == (32, (2, 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_as_well_and_the_judge_stays_there() -> None:
    device = torch.device("cuda")
    judge = train_classifier(coloured_squares(160), (2, 3), seed=0, settings=SETTINGS, device=device)
    assert judge.head.weight.is_cuda
    assert accuracy(judge, coloured_squares(50)) == [1.0, 1.0]
    again = AttributeClassifier.from_bytes(judge.to_bytes())
    assert accuracy(again, coloured_squares(50)) == [1.0, 1.0]


def test_same_seed_same_weights_and_global_generator_untouched() -> None:
    data = coloured_squares(40)
    before = torch.random.get_rng_state()
    one_epoch = ClassifierSettings(epochs=1, batch_size=16)
    first, second = (train_classifier(data, (2, 3), seed=7, settings=one_epoch) for _ in range(2))
    assert first.to_bytes() == second.to_bytes()
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("size", [32, 48, 64, 128])
def test_takes_any_multiple_of_16_pixels(size: int) -> None:
    logits = AttributeClassifier(size, (4, 2, 9))(torch.zeros(2, 3, size, size))
    assert [values.shape for values in logits] == [(2, 4), (2, 2), (2, 9)]


def test_augmentation_keeps_shape_and_stays_close() -> None:
    images = to_tensor(coloured_squares(16).images)
    changed = augment(images, torch.Generator().manual_seed(0))
    assert changed.shape == images.shape
    assert 0.0 < (changed - images).abs().mean() < 0.3


@pytest.mark.parametrize("size", [16, 40])
def test_unusable_size_is_named(size: int) -> None:
    with pytest.raises(ClassifierError, match=f"images of {size} px"):
        AttributeClassifier(size, (2, 2))


def test_labels_outside_the_vocabulary_are_named() -> None:
    data = coloured_squares(8)
    with pytest.raises(ClassifierError, match="expected 0 to 1"):
        train_classifier(data, (2, 2), seed=0, settings=SETTINGS)
    with pytest.raises(ClassifierError, match="2 columns for 3 attributes"):
        train_classifier(data, (2, 3, 4), seed=0, settings=SETTINGS)
