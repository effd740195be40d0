"""t-SNE of codes (the paper's Fig. 5): the points, and how well each attribute separates."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

from diffusegae.metrics.quantity import Quantity

QUANTITIES = (
    Quantity("silhouette_part", "silhouette in its own part", "higher", "signed"),
    Quantity("silhouette_full", "silhouette in the whole code", "higher", "signed"),
)
PERPLEXITY = 40.0  # the authors' setting


@dataclass(frozen=True)
class Projection:
    """Codes laid out in the plane."""

    points: Float[np.ndarray, "shown 2"]
    labels: Int[np.ndarray, "shown m"]
    silhouettes: tuple[float, ...]  # per attribute


def project(
    codes: Float[np.ndarray, "n dim"], labels: Int[np.ndarray, "n m"], *, seed: int, limit: int = 1500
) -> Projection:
    """Lay at most `limit` codes out by t-SNE, and say how well each attribute's values separate.

    A silhouette is in [-1, 1] and taken in the space of the codes, not of the picture: t-SNE draws clusters apart that
    hardly are. It is NaN when the shown codes have a single value of the attribute.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(len(codes))[:limit])
    shown, shown_labels = codes[chosen], labels[chosen]
    # t-SNE needs more points than its perplexity; a tiny set gets the largest that scikit-learn's advice allows.
    perplexity = min(PERPLEXITY, max(1.0, (len(shown) - 1) / 3))
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(shown)
    silhouettes = tuple(measure_silhouette(shown, values) for values in shown_labels.T)
    return Projection(points.astype(np.float32), shown_labels, silhouettes)


def measure_silhouette(codes: Float[np.ndarray, "shown dim"], values: Int[np.ndarray, " shown"]) -> float:
    """Return the silhouette of codes by their values; NaN when all or none of the values are the same."""
    is_defined = 2 <= len(np.unique(values)) < len(values)
    return float(silhouette_score(codes, values)) if is_defined else float("nan")
