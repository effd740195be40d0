"""The auto-encoder of pixels that GZS-Net and AE+DS share: convolutional encoder, code of parts, mirrored decoder.

GZS-Net's `Generator_fc` (facts §5) at any image size. A picture's code and a code's picture depend on nothing else in
the batch. Not published is the rounding of codes, off by default: our GAE's, with parts of bounded size.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from diffusegae.baselines.instance_norm import InstanceNormResidual, normalised
from diffusegae.config.baselines import PixelAutoEncoderConfig
from diffusegae.models.gae import PartNorm, Quantise


class PixelAutoEncoderError(ValueError):
    """An image size that the strided convolutions cannot halve as often as there are of them."""


class PixelAutoEncoder(nn.Module):
    """`encode` images in [-1, 1] to codes, `decode` codes to images; tanh keeps those in [-1, 1]."""

    def __init__(self, config: PixelAutoEncoderConfig, image_size: int, part_widths: Sequence[int]) -> None:
        super().__init__()
        code_width, step = sum(part_widths), config.quantise_step
        widths, hidden = config.widths, config.hidden_width
        top, side = widths[-1], lowest_side(widths, image_size)
        features, steps = top * side**2, list(pairwise(widths))
        self.encoder = nn.Sequential(
            normalised(nn.Conv2d(3, widths[0], 7, padding=3, bias=False)),
            *(normalised(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False)) for a, b in steps),
            *(InstanceNormResidual(top) for _ in range(config.num_residuals)),
            nn.Flatten(),
            nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, code_width)),
        )
        self.decoder = nn.Sequential(
            nn.Sequential(nn.Linear(code_width, hidden), nn.ReLU(), nn.Linear(hidden, features)),
            nn.Unflatten(1, (top, side, side)),
            *(InstanceNormResidual(top) for _ in range(config.num_residuals)),
            *(normalised(nn.ConvTranspose2d(b, a, 4, stride=2, padding=1, bias=False)) for a, b in reversed(steps)),
            nn.Conv2d(widths[0], 3, 7, padding=3, bias=False),
            nn.Tanh(),
        )
        self.rounding = nn.Sequential(PartNorm(part_widths), Quantise(step)) if step else nn.Identity()

    def encode(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch code"]:
        """Return the codes of images, rounded if the config says so."""
        codes: Tensor = self.rounding(self.encoder(images))
        return codes

    def decode(self, codes: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 3 height width"]:
        """Return the images of codes."""
        images: Tensor = self.decoder(codes)
        return images

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Return the reconstruction of images."""
        return self.decode(self.encode(images))


def lowest_side(widths: Sequence[int], image_size: int) -> int:
    """Return the feature side after the strided convolutions, one for each width but the first.

    Raises:
        PixelAutoEncoderError: it is no integer, or 1, where instance norm would leave nothing of a channel.
    """
    factor = 1 << (len(widths) - 1)
    if image_size % factor or image_size < 2 * factor:
        raise PixelAutoEncoderError(
            f"model.image_size is {image_size}, but widths {list(widths)} halve an image {len(widths) - 1} times, which"
            f" needs a multiple of {factor} from {2 * factor} up; give baselines.gzsnet.widths and"
            " baselines.ae_ds.widths fewer entries, or change model.image_size"
        )
    return image_size // factor
