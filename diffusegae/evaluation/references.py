"""What figures are held against, the same for every method: the judge on true pictures, and the floor of distances."""

from collections.abc import Callable, Mapping

import numpy as np

from diffusegae.data.splits import STRATA, Stratum
from diffusegae.evaluation.context import Context
from diffusegae.evaluation.examples import FEATURES, given_examples
from diffusegae.evaluation.measured import Items, Measured
from diffusegae.evaluation.truths import KINDS
from diffusegae.metrics.edits import closeness, read_right, reading_figures


def measure_judge(context: Context, rows: slice) -> Measured:
    """Let the judge read true held-out images."""
    plan, names = context.plan, context.schema.names
    own = plan.test[rows]
    right = read_right(context.judge, context.images(own), context.wanted(context.labels(own)), context.known)
    figures = {f"accuracy/{name}": right[:, a] for a, name in enumerate(names)}
    return Measured({"judge": Items(plan.test_strata[rows], own, figures)})


def measure_truths(context: Context, edits: slice) -> Measured:
    """Let the judge read the true pictures of edits, say of which kind they are, and how far another draw of them lies.

    The latter is `floor`: no edit can come nearer on average, as nothing tells it the draw.
    """
    plan, truth = context.plan, context.truth(edits)
    kinds = context.truths.kinds(plan.edit_truths[edits])
    right = read_right(context.judge, truth.nan_to_num(), context.wanted(plan.edit_labels[edits]), context.known)
    right[kinds == KINDS.index("none")] = np.nan
    figures = reading_figures(right, context.schema.names)
    figures |= {kind: (kinds == number).astype(np.float64) for number, kind in enumerate(KINDS)}
    strata, units = plan.edit_strata[edits], np.arange(edits.start, edits.stop)
    items = {"truths": Items(strata, units, figures)}
    if context.truths.renderer is not None:
        items["floor"] = Items(strata, units, closeness(context.truth(edits, again=1), truth, context.perceptual))
    return Measured(items)


def measure_true_features(context: Context, rows: slice) -> Measured:
    """Take the features of true held-out images, which Fréchet distances are held against."""
    features = context.features(context.images(context.generated_rows[rows]))
    return Measured(examples={f"{FEATURES}/true@{rows.start}": features})


def measure_given(context: Context, rows: slice) -> Measured:
    """Keep the given pictures, and what guessing would score."""
    values, names = {}, context.schema.names
    train, test = (context.wanted(context.labels(rows)) for rows in (context.plan.train, context.plan.test))
    seen = context.plan.test_strata == Stratum.SEEN
    for a, name in enumerate(names):
        most_frequent = np.bincount(train[:, a], minlength=context.schema.cardinalities[a]).argmax()
        values[f"judge/{STRATA[0]}/chance/{name}"] = 1.0 / context.schema.cardinalities[a]
        if seen.any():
            values[f"judge/{STRATA[0]}/majority/{name}"] = float(np.mean(test[seen, a] == most_frequent))
    return Measured(values=values, examples=given_examples(context))


REFERENCES: Mapping[str, Callable[[Context, slice], Measured]] = {
    "given": measure_given,
    "judge": measure_judge,
    "truths": measure_truths,
    "true_features": measure_true_features,
}
