"""The judge of edits: a small convolutional classifier of every attribute, trained on true images only.

It has to read generated pictures too, which are a little softer and noisier than true ones, so it is trained under
slight shifts, blur, noise and changes of light.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.metrics.quantity import Quantity
from diffusegae.pixels import to_tensor

QUANTITIES = (
    Quantity("accuracy", "accuracy on true held-out images", "higher"),
    Quantity("chance", "guessing", None),
    Quantity("majority", "always the most frequent value", None),
)
GRID = 16  # an image of any size enters as 16 x 16 patches
LAYERS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))  # width and stride of each convolution
CPU = torch.device("cpu")
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
        if image_size < 2 * GRID or image_size % GRID:
            raise ClassifierError(
                f"images of {image_size} px; the classifier takes multiples of {GRID} from {2 * GRID} px."
                " Ingest the data at another data.image_size"
            )
        self.image_size, self.cardinalities = image_size, tuple(cardinalities)
        patch = image_size // GRID
        layers, into = nn.Sequential(nn.PixelUnshuffle(patch)), 3 * patch * patch
        for width, stride in LAYERS:
            convolution = nn.Conv2d(into, width, 3, stride=stride, padding=1, bias=False)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
            into = width
        self.trunk, self.head = layers, nn.Linear(into, sum(self.cardinalities))
        self.register_buffer("shape", torch.tensor([image_size, *self.cardinalities]))  # so that its state rebuilds it

    def forward(self, images: Float[Tensor, "batch 3 size size"]) -> tuple[Tensor, ...]:
        """Return the logits of each attribute."""
        features = self.trunk(images).mean(dim=(2, 3))
        return torch.split(self.head(features), list(self.cardinalities), dim=1)

    @torch.no_grad()
    def predict(self, images: Float[Tensor, "batch 3 size size"]) -> Int[Tensor, "batch m"]:
        """Return the most likely values of images in [-1, 1], which may overshoot, on the device of the images."""
        chunks = (chunk.to(self.head.weight.device).clamp(-1.0, 1.0) for chunk in torch.split(images, 512))
        answers = [torch.stack([logits.argmax(dim=1) for logits in self(chunk)], dim=1) for chunk in chunks]
        return torch.cat(answers).to(images.device)

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
    cardinalities: Sequence[int],
    *,
    seed: int,
    settings: ClassifierSettings | None = None,
    device: torch.device = CPU,
) -> AttributeClassifier:
    """Train a classifier on true images; it stays on the device.

    On a CPU it is a function of `seed`. All that is random is drawn there for every device.

    Raises:
        ClassifierError: a label is outside its attribute's values, or the images have an unusable size.
    """
    settings = settings or ClassifierSettings()
    if train.labels.shape[1] != len(cardinalities):
        raise ClassifierError(f"{train.labels.shape[1]} columns for {len(cardinalities)} attributes; give one for each")
    for a, (low, high, count) in enumerate(zip(train.labels.min(0), train.labels.max(0), cardinalities, strict=True)):
        if low < 0 or high >= count:
            raise ClassifierError(
                f"attribute {a}: labels from {low} to {high}, expected 0 to {count - 1}; ingest again"
            )
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # layers draw their first weights from the global generator
        torch.manual_seed(seed)
        classifier = AttributeClassifier(train.images.shape[1], cardinalities).to(device)
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(train.images) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps)
    for _ in range(settings.epochs):
        for rows in torch.split(torch.randperm(len(train.images), generator=generator), settings.batch_size):
            images = augment(to_tensor(train.images[rows.numpy()]).to(device), generator)
            labels = torch.from_numpy(train.labels[rows.numpy()]).long().to(device).unbind(dim=1)
            losses = [F.cross_entropy(*each) for each in zip(classifier(images), labels, strict=True)]
            optimizer.zero_grad(set_to_none=True)
            torch.stack(losses).sum().backward()
            optimizer.step()
            schedule.step()
    return classifier.eval()


def augment(images: Float[Tensor, "batch 3 size size"], generator: torch.Generator) -> Tensor:
    """Soften, shift, relight and roughen a batch as much as a fair generated picture might differ from a true one.

    The shift is one per batch; blur, light and noise are drawn per image. The generator is a CPU's.
    """

    def draw(low: float, high: float) -> Float[Tensor, "batch 1 1 1"]:
        return (torch.rand(len(images), 1, 1, 1, generator=generator) * (high - low) + low).to(images.device)

    reach = MAX_SHIFT * images.shape[-1] // 32
    down, right = torch.randint(0, 2 * reach + 1, (2,), generator=generator).tolist()
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    shifted = padded[:, :, down : down + images.shape[-2], right : right + images.shape[-1]]
    # Half of the images keep their sharpness, the others are mixed with their 3 x 3 mean.
    softness = draw(-1.0, 1.0).clamp(min=0.0)
    blurred = F.avg_pool2d(F.pad(shifted, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    softened = torch.lerp(shifted, blurred, softness)
    relit = softened * draw(0.85, 1.15) + draw(-0.12, 0.12)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return relit + draw(0.0, 0.08) * noise
