"""What a method's code says of the attributes: Table 1's probes, DCI, MIG and SAP, silhouettes, and t-SNE.

Measured are the dimensions that the method's parts cover, side by side in the attributes' order: a code may hold more,
as the pixels that ELEGANT adds its residual to. An undivided code is cut in the proportion of the attributes' widths;
`probe/is_divided` says which of both it was.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from diffusegae.comparison.batches import BatchedMethod
from diffusegae.metrics.disentanglement import measure_disentanglement
from diffusegae.metrics.judging import Judging
from diffusegae.metrics.probe import LabelledCodes, measure_probe_matrix, split_in_proportion
from diffusegae.metrics.projection import Projection, measure_silhouette, project

MAX_ROWS, MAX_CELLS = 5000, 5000 * 512  # of DCI, MIG and SAP; codes wider than 512 get fewer rows


def measure_codes(method: BatchedMethod, judging: Judging) -> tuple[dict[str, float], Projection]:
    """Measure the codes of the images that plan.train and plan.test name, and lay held-out ones out in the plane."""
    schema, seed = judging.schema, judging.config.seed
    parts = method.method.parts
    columns: slice | list[int] = slice(None)
    if parts is not None:
        columns = [column for part in parts for column in range(part.start, part.stop)]
    train, test = (
        LabelledCodes(method.encode(images.images, columns), images.labels) for images in (judging.train, judging.test)
    )
    dim = train.codes.shape[1]
    units = split_in_proportion(schema.widths, dim) if parts is None else _side_by_side(parts)
    probe = measure_probe_matrix(train, test, units, schema.names, schema.cardinalities)
    limit = min(MAX_ROWS, MAX_CELLS // dim)
    scores = measure_disentanglement(train, test, schema.names, units, seed=seed, limit=limit)
    silhouettes, projection = _lay_out(test, units, judging)
    metrics = probe.as_metrics() | scores.as_metrics() | silhouettes
    metrics |= {
        "probe/is_divided": float(parts is not None),
        "probe/mean_diagonal": float(probe.diagonal.mean()),
        "dci/count": float(scores.num_train),
        "code/width": float(dim),
    }
    return metrics, projection


def _side_by_side(parts: Sequence[slice]) -> tuple[slice, ...]:
    """Return where parts lie once all else has been left out."""
    stops = np.cumsum([part.stop - part.start for part in parts]).tolist()
    return tuple(slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False))


def _lay_out(test: LabelledCodes, units: Sequence[slice], judging: Judging) -> tuple[dict[str, float], Projection]:
    """Return the silhouette of each attribute in its own part and in the whole, and the whole in the plane."""
    names, seed = judging.schema.names, judging.config.seed
    order = np.random.default_rng(seed).permutation(len(test.codes))
    chosen = np.sort(order[: judging.config.evaluate.num_projected])
    codes: Float[np.ndarray, "shown dim"] = test.codes[chosen]
    labels = test.labels[chosen]
    projection = project(codes, labels, seed=seed, limit=len(codes))
    metrics = {f"silhouette/full/{name}": projection.silhouettes[a] for a, name in enumerate(names)}
    for a, name in enumerate(names):
        metrics[f"silhouette/part/{name}"] = measure_silhouette(codes[:, units[a]], labels[:, a])
    return metrics, projection
