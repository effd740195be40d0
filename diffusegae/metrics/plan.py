"""What is judged: which stored images train the judge, are reconstructed, edited and recombined, and their truths.

Donors are held out like the sources. Labels follow the schema's label columns; the true image of an edit is looked up
by its GROUP columns, so that with several instances per category it is the right instance that is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Integer

from diffusegae.config.pipeline import EvaluateConfig
from diffusegae.data.lookup import MISSING, ImageLookup
from diffusegae.schema import AttributeSchema

MAX_TRAIN, MAX_TEST = 20_000, 10_000  # images that train and test the judge and the probes
NUM_CANDIDATES = 128  # random donors of which the best is taken

Rows = Integer[np.ndarray, "_"]
Labels = Integer[np.ndarray, "..."]


class EvaluationError(ValueError):
    """A data set on which edits cannot be judged."""


@dataclass(frozen=True)
class EvaluationPlan:
    """Rows of the data set by their part in the judging, and the labels that edits should show.

    A truth is MISSING where the data set has no such image.
    """

    train: Rows
    test: Rows
    reconstructed: Rows
    sources: Rows
    donors: Rows  # one per source, differing from it in every attribute
    replaced_truths: Integer[np.ndarray, "sources m"]  # of the source with attribute j from its donor
    replaced_labels: Integer[np.ndarray, "sources m m"]
    givers: Integer[np.ndarray, "recombinations m"]  # whose attribute j is taken
    recombined_truths: Rows
    recombined_labels: Integer[np.ndarray, "recombinations m"]
    num_without_donor: int

    @property
    def num_missing(self) -> int:
        """Edits whose true image the data set lacks."""
        return int((self.replaced_truths == MISSING).sum() + (self.recombined_truths == MISSING).sum())


def plan_evaluation(lookup: ImageLookup, schema: AttributeSchema, config: EvaluateConfig, seed: int) -> EvaluationPlan:
    """Draw what is judged from the held-out rows, `num_edits` replacements over all attributes among it.

    Raises:
        EvaluationError: no held-out image has another one that differs from it in every attribute.
    """
    generator = np.random.default_rng(seed)
    held = lookup.sample(max(config.num_reconstructions, config.num_edits, MAX_TEST), True, generator)
    shown = np.concatenate([_labels(lookup, held, schema.columns), _labels(lookup, held, schema.group_columns)], axis=1)
    wanted = min(-(-config.num_edits // len(schema.names)), len(held))
    sources = np.arange(wanted)
    donors, differs = draw_donors(shown, sources, generator)
    if not differs.any():
        raise EvaluationError(
            f"none of {wanted} held-out images has another one that differs from it in every one of the attributes"
            f" {', '.join(schema.names)}; hold more images out (data.holdout_percent) or label them more variedly"
        )
    sources, donors = held[sources[differs]], held[donors[differs]]
    givers = held[draw_givers(shown, len(schema.names), config.num_edits, generator)]

    def replaced(columns: Sequence[str]) -> Labels:
        return replace_labels(_labels(lookup, sources, columns), _labels(lookup, donors, columns))

    def recombined(columns: Sequence[str]) -> Labels:
        return np.stack([lookup.labels.columns[column][givers[:, j]] for j, column in enumerate(columns)], axis=1)

    flat = replaced(schema.group_columns).reshape(-1, len(schema.names))
    return EvaluationPlan(
        train=lookup.sample(MAX_TRAIN, False, generator),
        test=held[:MAX_TEST],
        reconstructed=held[: config.num_reconstructions],
        sources=sources,
        donors=donors,
        replaced_truths=lookup.find(flat, schema.group_columns).reshape(len(sources), -1),
        replaced_labels=replaced(schema.columns),
        givers=givers,
        recombined_truths=lookup.find(recombined(schema.group_columns), schema.group_columns),
        recombined_labels=recombined(schema.columns),
        num_without_donor=wanted - len(sources),
    )


def draw_donors(
    labels: Integer[np.ndarray, "rows columns"], sources: Rows, generator: np.random.Generator
) -> tuple[Rows, Bool[np.ndarray, "_"]]:
    """Return for each source the candidate row that shares the fewest labels with it, and whether it shares none."""
    candidates = generator.integers(len(labels), size=(len(sources), NUM_CANDIDATES))
    shared = (labels[candidates] == labels[sources][:, None]).sum(axis=2)
    best = shared.argmin(axis=1)
    chosen = np.arange(len(sources))
    return candidates[chosen, best], shared[chosen, best] == 0


def draw_givers(
    labels: Integer[np.ndarray, "rows columns"], num_attributes: int, count: int, generator: np.random.Generator
) -> Integer[np.ndarray, "count m"]:
    """Return m rows per recombination; as far as the data allow, giver j alone has its value of attribute j.

    Otherwise a model that takes attribute j from the wrong picture might be right by chance. The columns of `labels`
    are the attributes in order, any number of times over.
    """
    chosen = np.empty((count, num_attributes), np.int64)
    for row in range(count):
        candidates = generator.integers(len(labels), size=(NUM_CANDIDATES, num_attributes))
        chosen[row] = candidates[_coincidences(labels[candidates]).argmin()]
    return chosen


def replace_labels(
    source: Integer[np.ndarray, "n m"], donor: Integer[np.ndarray, "n m"]
) -> Integer[np.ndarray, "n m m"]:
    """Return the labels after each replacement: [i, j] is source i with attribute j from its donor."""
    is_swapped = np.eye(source.shape[1], dtype=bool)
    return np.where(is_swapped, donor[:, None], source[:, None])


def _coincidences(labels: Integer[np.ndarray, "candidates m columns"]) -> Integer[np.ndarray, " candidates"]:
    """Count the givers that have another giver's value of the attribute which that one gives."""
    num_attributes = labels.shape[1]
    total = np.zeros(len(labels), np.int64)
    for column in range(labels.shape[2]):
        values = labels[:, :, column]
        giver = column % num_attributes
        total += (values == values[:, giver, None]).sum(axis=1) - 1
    return total


def _labels(lookup: ImageLookup, rows: Rows, columns: Sequence[str]) -> Integer[np.ndarray, "rows columns"]:
    return np.stack([lookup.labels.columns[column][rows] for column in columns], axis=1)
