"""t-SNE of codes (the paper's Fig. 5): the points, how well each attribute separates, and the picture."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

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
    silhouettes = tuple(measure_silhouette(shown, shown_labels[:, a]) for a in range(labels.shape[1]))
    return Projection(points.astype(np.float32), shown_labels, silhouettes)


def draw_projections(
    projections: Mapping[str, Projection], names: Sequence[str], *, max_values: int = 18, dpi: int = 110
) -> bytes:
    """Draw one row per named code and one column per attribute, coloured by its value; returns a PNG.

    Only the first `max_values` values of an attribute are coloured (the paper shows 18 of its backgrounds); the rest
    stay grey.
    """
    figure = Figure(figsize=(3.2 * len(names), 3.2 * len(projections) + 0.2), layout="constrained")
    axes = figure.subplots(len(projections), len(names), squeeze=False)
    for row, (title, projection) in enumerate(projections.items()):
        for a, name in enumerate(names):
            caption = f"{title} by {name} (silhouette {projection.silhouettes[a]:+.2f})"
            _scatter(axes[row, a], projection.points, projection.labels[:, a], caption, max_values)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _scatter(
    axes: Axes, points: Float[np.ndarray, "shown 2"], values: Int[np.ndarray, " shown"], caption: str, max_values: int
) -> None:
    coloured = values < max_values
    x, y = points.T
    axes.scatter(x[~coloured], y[~coloured], s=3, c="#dddddd", linewidths=0)
    colours = colormaps["tab20"](values[coloured] % 20)
    axes.scatter(x[coloured], y[coloured], s=5, c=colours, linewidths=0)
    axes.set_title(caption, fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def measure_silhouette(codes: Float[np.ndarray, "shown dim"], values: Int[np.ndarray, " shown"]) -> float:
    """Return the silhouette of codes by their values; NaN when all or none of the values are the same."""
    num_values = len(np.unique(values))
    if not 2 <= num_values < len(values):
        return float("nan")
    return float(silhouette_score(codes, values))
