"""t-SNE of codes: what separates, and that a seed fixes choice and layout."""

import numpy as np

from diffusegae.metrics.projection import project


def two_clusters(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.stack([np.arange(n) % 2, random.integers(0, 3, n)], axis=1)
    codes = random.normal(size=(n, 5)) + 8.0 * labels[:, :1]
    return codes.astype(np.float32), labels


def test_silhouette_tells_the_attribute_that_the_code_holds() -> None:
    codes, labels = two_clusters()
    projection = project(codes, labels, seed=0)
    assert projection.points.shape == (60, 2)
    held, other = projection.silhouettes
    assert held > 0.5
    assert abs(other) < 0.2
    gap = np.linalg.norm(projection.points[labels[:, 0] == 0].mean(0) - projection.points[labels[:, 0] == 1].mean(0))
    assert gap > projection.points[labels[:, 0] == 0].std()


def test_seed_fixes_the_choice_and_the_layout() -> None:
    codes, labels = two_clusters()
    first, second = (project(codes, labels, seed=3, limit=40) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)
    assert len(first.points) == len(first.labels) == 40


def test_single_valued_attribute_has_no_silhouette() -> None:
    codes, labels = two_clusters(20)
    labels[:, 1] = 0
    assert np.isnan(project(codes, labels, seed=0).silhouettes[1])
