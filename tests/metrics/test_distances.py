"""Image and feature distances against scikit-image, scipy and closed forms."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity

from diffusegae.metrics.distances import (
    WINDOW_RADIUS,
    FeatureGaussian,
    fit_gaussian,
    frechet_distance,
    mse,
    ssim,
    ssim_map,
)


def random_pair(seed: int, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(3, 3, size, size, generator=generator)
    return a, (a + 0.2 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


def test_mse_is_the_mean_over_pixels_of_each_image() -> None:
    truth = torch.zeros(2, 3, 4, 4)
    images = truth.clone()
    images[1, 0] = 0.5
    assert mse(images, truth).tolist() == pytest.approx([0.0, 0.25 / 3])


def test_ssim_map_equals_scikit_image_inside_the_border() -> None:
    a, b = random_pair(0)
    inside = slice(WINDOW_RADIUS, -WINDOW_RADIUS)
    for image, other, ours in zip(a.numpy(), b.numpy(), ssim_map(a, b).numpy(), strict=True):
        mean, theirs = structural_similarity(
            image,
            other,
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        np.testing.assert_allclose(ours[:, inside, inside], theirs[:, inside, inside], atol=2e-5)
        assert ours[:, inside, inside].mean() == pytest.approx(mean, abs=1e-5)


def test_ssim_border_is_that_of_an_image_surrounded_by_zeros() -> None:
    a, b = random_pair(1)
    pad = (WINDOW_RADIUS,) * 4
    around = ssim_map(torch.nn.functional.pad(a, pad), torch.nn.functional.pad(b, pad))
    cut = around[:, :, WINDOW_RADIUS:-WINDOW_RADIUS, WINDOW_RADIUS:-WINDOW_RADIUS]
    torch.testing.assert_close(ssim_map(a, b), cut)
    torch.testing.assert_close(ssim(a, b), cut.mean(dim=(1, 2, 3)))


def test_ssim_of_an_image_with_itself_is_one_and_it_falls_with_noise() -> None:
    a, b = random_pair(2)
    torch.testing.assert_close(ssim(a, a), torch.ones(3))
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    worse = (b + 0.3 * torch.randn(b.shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    assert (ssim(a, worse) < ssim(a, b)).all()


def random_gaussian(seed: int, dim: int = 6) -> FeatureGaussian:
    random = np.random.default_rng(seed)
    factor = random.normal(size=(dim, dim))
    return FeatureGaussian(torch.from_numpy(random.normal(size=dim)), torch.from_numpy(factor @ factor.T))


def test_frechet_distance_equals_scipys_matrix_root() -> None:
    a, b = random_gaussian(0), random_gaussian(1)
    root = sqrtm(a.covariance.numpy() @ b.covariance.numpy()).real
    expected = np.sum((a.mean - b.mean).numpy() ** 2) + np.trace((a.covariance + b.covariance).numpy() - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_axis_aligned_gaussians() -> None:
    a = FeatureGaussian(torch.tensor([0.0, 1.0]).double(), torch.diag(torch.tensor([4.0, 9.0])).double())
    b = FeatureGaussian(torch.tensor([3.0, 1.0]).double(), torch.diag(torch.tensor([1.0, 1.0])).double())
    assert frechet_distance(a, b) == pytest.approx(9.0 + (2 - 1) ** 2 + (3 - 1) ** 2)


def test_frechet_distance_of_fewer_features_than_dimensions_to_themselves_is_zero() -> None:
    gaussian = fit_gaussian(torch.randn(5, 40, generator=torch.Generator().manual_seed(0)))
    assert frechet_distance(gaussian, gaussian) == pytest.approx(0.0, abs=1e-5)


def test_fit_gaussian_matches_numpy_and_refuses_one_feature() -> None:
    features = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    gaussian = fit_gaussian(features)
    np.testing.assert_allclose(gaussian.covariance, np.cov(features.double().numpy(), rowvar=False))
    with pytest.raises(ValueError, match="1 feature vector"):
        fit_gaussian(features[:1])
