"""The judge of edits: a small convolutional classifier of every attribute, trained on true images only.

It has to read generated pictures too, which are a little softer and noisier than true ones, so it is trained under
slight shifts, blur, noise and changes of light; its accuracy on held-out true images travels with its weights.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.images import to_tensor

logger = logging.getLogger(__name__)

GRID = 16  # an image of any size enters as 16 x 16 patches
WIDTHS = (32, 64, 128)
MAX_SHIFT = 2  # pixels per 32 of the side


class ClassifierError(ValueError):
    """Images or labels that the classifier cannot be trained on."""


@dataclass(frozen=True)
class LabelledImages:
    """True images and their labels, one column per attribute."""

    images: UInt8[np.ndarray, "n size size 3"]
    labels: Int[np.ndarray, "n m"]


@dataclass(frozen=True)
class ClassifierSettings:
    """How long and how fast to train; the defaults fit 10,000 images of 32 px into a minute on two cores."""

    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 6e-3
    weight_decay: float = 1e-2


class AttributeClassifier(nn.Module):
    """Reads every attribute of square images in [-1, 1]; 0.3 million weights, one linear head per attribute."""

    def __init__(self, image_size: int, cardinalities: Sequence[int]) -> None:
        super().__init__()
        _check_size(image_size)
        self.image_size = image_size
        self.cardinalities = tuple(cardinalities)
        patch = image_size // GRID
        first, second, third = WIDTHS
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(patch),
            _convolution(3 * patch * patch, first),
            _convolution(first, second, stride=2),
            _convolution(second, second),
            _convolution(second, third, stride=2),
            _convolution(third, third),
        )
        self.head = nn.Linear(third, sum(self.cardinalities))
        # Buffers, so that the state dict alone rebuilds the classifier and says how far to trust it.
        self.register_buffer("shape", torch.tensor([image_size, *self.cardinalities]))
        self.register_buffer("accuracy", torch.zeros(len(self.cardinalities)))

    @property
    def held_out_accuracy(self) -> tuple[float, ...]:
        """Accuracy of each attribute on the held-out true images it was measured on after training."""
        return tuple(self.get_buffer("accuracy").tolist())

    def forward(self, images: Float[Tensor, "batch 3 size size"]) -> tuple[Tensor, ...]:
        """Return the logits of each attribute."""
        features = self.trunk(images).mean(dim=(2, 3))
        return torch.split(self.head(features), list(self.cardinalities), dim=1)

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "batch 3 size size"]) -> Int[Tensor, "batch m"]:
        """Return the most likely value of each attribute for images in [-1, 1]; generated ones may overshoot.

        Images may be on another device than the weights; the answers are where the images are.
        """
        device = self.head.weight.device
        answers = [self._answer(chunk.to(device).clamp(-1.0, 1.0)) for chunk in torch.split(images, 512)]
        return torch.cat(answers).to(images.device)

    def _answer(self, images: Float[Tensor, "batch 3 size size"]) -> Int[Tensor, "batch m"]:
        return torch.stack([logits.argmax(dim=1) for logits in self(images)], dim=1)

    def to_bytes(self) -> bytes:
        """Return the classifier as safetensors bytes."""
        return save(self.state_dict())

    @classmethod
    def from_bytes(cls, content: bytes) -> "AttributeClassifier":
        """Rebuild a classifier from `to_bytes`, ready to predict."""
        state = load(content)
        image_size, *cardinalities = state["shape"].tolist()
        classifier = cls(image_size, cardinalities)
        classifier.load_state_dict(state)
        return classifier.eval()


def train_classifier(
    train: LabelledImages,
    held_out: LabelledImages,
    cardinalities: Sequence[int],
    *,
    seed: int,
    settings: ClassifierSettings | None = None,
) -> AttributeClassifier:
    """Train a classifier on true images and measure it on held-out ones, deterministically in `seed`.

    Raises:
        ClassifierError: a label is outside its attribute's values, or the images have an unusable size.
    """
    settings = settings or ClassifierSettings()
    _check_labels(train.labels, cardinalities)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the global generator
        torch.manual_seed(seed)
        classifier = AttributeClassifier(train.images.shape[1], cardinalities)
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(train.images) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps)
    classifier.train()
    for images, labels in _batches(train, settings, generator):
        loss = _loss(classifier(augment(images, generator)), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    classifier.eval()
    classifier.get_buffer("accuracy").copy_(torch.from_numpy(measure_accuracy(classifier, held_out)))
    logger.info("classifier of true images: held-out accuracy %s", classifier.held_out_accuracy)
    return classifier


def measure_accuracy(classifier: AttributeClassifier, data: LabelledImages) -> Float[np.ndarray, " m"]:
    """Return the share of images whose label is predicted, for each attribute."""
    chunks = np.array_split(data.images, -(-len(data.images) // 512))  # uint8 in, so that floats never exist at once
    answers = torch.cat([classifier.predict(to_tensor(chunk)) for chunk in chunks]).numpy()
    return np.asarray(np.mean(answers == data.labels, axis=0))


def augment(images: Float[Tensor, "batch 3 size size"], generator: torch.Generator) -> Tensor:
    """Soften, shift, relight and roughen a batch as much as a fair generated picture might differ from a true one.

    The shift is one per batch; blur, light and noise are drawn per image.
    """

    def draw(low: float, high: float) -> Float[Tensor, "batch 1 1 1"]:
        return torch.rand(len(images), 1, 1, 1, generator=generator) * (high - low) + low

    reach = MAX_SHIFT * images.shape[-1] // 32
    down, right = torch.randint(0, 2 * reach + 1, (2,), generator=generator).tolist()
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    shifted = padded[:, :, down : down + images.shape[-2], right : right + images.shape[-1]]
    # Half of the images keep their sharpness, the others are mixed with their 3 x 3 mean.
    softness = draw(-1.0, 1.0).clamp(min=0.0)
    blurred = F.avg_pool2d(F.pad(shifted, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    softened = torch.lerp(shifted, blurred, softness)
    relit = softened * draw(0.85, 1.15) + draw(-0.12, 0.12)
    noise = torch.randn(images.shape, generator=generator)
    return relit + draw(0.0, 0.08) * noise


def _batches(
    data: LabelledImages, settings: ClassifierSettings, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(settings.epochs):
        for rows in torch.split(torch.randperm(len(data.images), generator=generator), settings.batch_size):
            yield to_tensor(data.images[rows.numpy()]), torch.from_numpy(data.labels[rows.numpy()]).long()


def _loss(logits: Sequence[Tensor], labels: Int[Tensor, "batch m"]) -> Tensor:
    losses = [F.cross_entropy(values, labels[:, a]) for a, values in enumerate(logits)]
    return torch.stack(losses).sum()


def _convolution(into: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(into, out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
    )


def _check_size(image_size: int) -> None:
    if image_size < 2 * GRID or image_size % GRID:
        raise ClassifierError(
            f"images of {image_size} px; the classifier takes multiples of {GRID} from {2 * GRID} px."
            " Ingest the data at another data.image_size"
        )


def _check_labels(labels: Int[np.ndarray, "n m"], cardinalities: Sequence[int]) -> None:
    if labels.shape[1] != len(cardinalities):
        raise ClassifierError(f"labels have {labels.shape[1]} columns for {len(cardinalities)} attributes")
    for a, count in enumerate(cardinalities):
        low, high = int(labels[:, a].min()), int(labels[:, a].max())
        if low < 0 or high >= count:
            raise ClassifierError(f"attribute {a}: labels run from {low} to {high}, expected 0 to {count - 1}")
