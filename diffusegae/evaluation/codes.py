"""What a method's code says of the attributes: Table 1's probes and their reference, DCI, MIG, silhouettes, t-SNE.

Measured are the dimensions that the method's parts cover, side by side in the attributes' order: a code may hold more,
as the pixels that ELEGANT adds its residual to. An undivided code is cut in the proportion of the attributes' widths;
`codes/seen_pairs/is_divided` says which of both it was.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from diffusegae.data.splits import STRATA, Stratum
from diffusegae.evaluation.bench import Bench
from diffusegae.evaluation.context import Context
from diffusegae.evaluation.measured import Items, Measured
from diffusegae.metrics.disentanglement import measure_disentanglement
from diffusegae.metrics.probe import LabelledCodes, measure_parts, read_mlp, split_in_proportion
from diffusegae.metrics.projection import Projection, measure_silhouette, project

MAX_ROWS, MAX_CELLS = 5000, 5000 * 512  # of DCI and MIG; codes wider than 512 get fewer rows
PREFIX = f"codes/{STRATA[Stratum.SEEN]}"


def measure_probes(bench: Bench, rows: slice) -> Measured:
    """Probe the parts on the training images of the plan, and score every held-out image with its reference."""
    plan, schema = bench.context.plan, bench.context.schema
    train, test, units = _read(bench)
    measure = partial(
        measure_parts, train, test, units, schema.names, schema.cardinalities, seed=bench.context.config.evaluate.seed
    )
    figures = measure().figures() | measure(probe=read_mlp, full=False).figures("mlp_")
    values = {
        f"{PREFIX}/is_divided": float(bench.full.method.parts is not None),
        f"{PREFIX}/width": float(train.codes.shape[1]),
    }
    return Measured({"codes": Items(plan.test_strata, plan.test, figures)}, values)


def measure_attributes(bench: Bench, rows: slice) -> Measured:
    """Measure DCI, MIG and silhouettes on held-out images of seen pairs, and lay these out in the plane."""
    schema, seed = bench.context.schema, bench.context.config.evaluate.seed
    train, test, units = _read(bench)
    seen = bench.context.plan.test_strata == Stratum.SEEN
    test = LabelledCodes(test.codes[seen], test.labels[seen])
    limit = min(MAX_ROWS, MAX_CELLS // train.codes.shape[1])
    scores = measure_disentanglement(train, test, schema.names, units, seed=seed, limit=limit)
    silhouettes, projection = _lay_out(test, units, bench.context)
    return Measured(
        values={f"{PREFIX}/{name}": value for name, value in (scores.as_metrics() | silhouettes).items()},
        codes=projection,
    )


def _read(bench: Bench) -> tuple[LabelledCodes, LabelledCodes, tuple[slice, ...]]:
    """Return the labelled codes of the plan's training and test images, and the units that they are cut into."""
    context, parts = bench.context, bench.full.method.parts
    columns: slice | list[int] = slice(None)
    if parts is not None:
        columns = [column for part in parts for column in range(part.start, part.stop)]
    train, test = (
        LabelledCodes(bench.full.encode(context.lookup.take(rows), columns), context.wanted(labels), labels[:, 1])
        for rows in (context.plan.train, context.plan.test)
        for labels in (context.labels(rows),)
    )
    if parts is None:
        return train, test, split_in_proportion(context.schema.widths, train.codes.shape[1])
    return train, test, _side_by_side(parts)


def _side_by_side(parts: Sequence[slice]) -> tuple[slice, ...]:
    """Return where parts lie once all else has been left out."""
    stops = np.cumsum([part.stop - part.start for part in parts]).tolist()
    return tuple(slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False))


def _lay_out(test: LabelledCodes, units: Sequence[slice], context: Context) -> tuple[dict[str, float], Projection]:
    """Return the silhouette of each attribute in its own part and in the whole, and the whole in the plane."""
    names, seed = context.schema.names, context.config.evaluate.seed
    order = np.random.default_rng(seed).permutation(len(test.codes))
    chosen = np.sort(order[: context.config.evaluate.num_projected])
    codes: Float[np.ndarray, "shown dim"] = test.codes[chosen]
    labels = test.labels[chosen]
    projection = project(codes, labels, seed=seed, limit=len(codes))
    metrics = {f"silhouette_full/{name}": projection.silhouettes[a] for a, name in enumerate(names)}
    for a, name in enumerate(names):
        metrics[f"silhouette_part/{name}"] = measure_silhouette(codes[:, units[a]], labels[:, a])
    return metrics, projection
