"""What is judged, by strata: which images train the judge and the probes, are reconstructed, edited and recombined.

Sources and donors are held out. An edit belongs to the hardest stratum among its source, its donor and its result, so
that "seen pairs" holds nothing that training lacked a part of. Labels follow the schema's label columns, true pictures
its GROUP columns, so that with several instances per category it is the right instance that is compared.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int8, Integer

from diffusegae.config.pipeline import EvaluateConfig
from diffusegae.data.lookup import NOT_FOUND, ImageLookup
from diffusegae.data.shards import LabelTable
from diffusegae.data.splits import Stratum
from diffusegae.schema import AttributeSchema

MAX_TRAIN, MAX_TEST = 20_000, 6_000  # images that train the judge and the probes, and of each stratum that test them
NUM_CANDIDATES = 128  # random donors of which the best is taken
CHUNK = 128  # sources whose candidates are looked at side by side

Rows = Integer[np.ndarray, "_"]
Labels = Integer[np.ndarray, "... 2 m"]  # label and GROUP label of every attribute


class EvaluationError(ValueError):
    """A data set on which edits cannot be judged."""


@dataclass(frozen=True)
class EvaluationPlan:
    """Rows of a label table by their part in the judging, and the labels that edits should show.

    Strata are numbers of `Stratum`. A truth is NOT_FOUND where no held-out image shows it.
    """

    labels: LabelTable  # of the rows that the plan names, and no others
    train: Rows
    test: Rows
    test_strata: Int8[np.ndarray, " test"]
    reconstructed: Rows
    reconstructed_strata: Int8[np.ndarray, " reconstructed"]
    sources: Rows
    donors: Rows  # one per source, differing from it in every attribute
    givers: Integer[np.ndarray, "recombinations m"]  # whose attribute j is taken
    # Of all edits: the m replacements of the first source (attribute j from its donor), of the next …, recombinations.
    edit_labels: Integer[np.ndarray, "edits 2 m"]
    edit_truths: Rows
    edit_strata: Int8[np.ndarray, " edits"]

    @property
    def seen(self) -> Rows:
        """The held-out rows of seen pairs that test codes, paths and Fréchet distances."""
        return np.asarray(self.test[self.test_strata == Stratum.SEEN])

    @property
    def num_attributes(self) -> int:
        """How many replacements a source has."""
        return int(self.edit_labels.shape[-1])

    def replacements(self, sources: slice) -> slice:
        """Return which edits are the replacements of some sources."""
        return slice(sources.start * self.num_attributes, sources.stop * self.num_attributes)

    def recombinations(self, rows: slice) -> slice:
        """Return which edits are some recombinations."""
        before = len(self.sources) * self.num_attributes
        return slice(before + rows.start, before + rows.stop)

    @property
    def source_strata(self) -> Int8[np.ndarray, " sources"]:
        """The hardest stratum among a source's replacements."""
        edits = self.edit_strata[self.replacements(slice(0, len(self.sources)))]
        return np.asarray(edits.reshape(len(self.sources), -1).max(axis=1))

    @property
    def recombined_strata(self) -> Int8[np.ndarray, " recombinations"]:
        """The strata of the recombinations."""
        return self.edit_strata[self.recombinations(slice(0, len(self.givers)))]

    def to_bytes(self) -> bytes:
        """Return the plan as an `.npz` file."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "labels"}
        table = self.labels
        arrays = {f"labels/{name}": values for name, values in table.columns.items()}
        arrays |= {f"table/{name}": getattr(table, name) for name in ("held_out", "shard", "row")}
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **own, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "EvaluationPlan":
        """Read what `to_bytes` gave."""
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        columns = {
            name.removeprefix("labels/"): arrays.pop(name) for name in list(arrays) if name.startswith("labels/")
        }
        places = {name.removeprefix("table/"): arrays.pop(name) for name in list(arrays) if name.startswith("table/")}
        return cls(labels=LabelTable(columns=columns, **places), **arrays)


@dataclass(frozen=True)
class Drawing:
    """What plans are drawn from: the label table, the attributes, and the held-out rows of each stratum."""

    lookup: ImageLookup
    schema: AttributeSchema
    pools: Sequence[Rows]  # by Stratum
    generator: np.random.Generator

    def labels(self, rows: Integer[np.ndarray, "*shape"]) -> Integer[np.ndarray, "*shape 2 m"]:
        """Return both labels of every attribute of rows of any arrangement."""
        return labels_of(self.lookup, self.schema, rows)

    def strata(self, labels: Integer[np.ndarray, "*shape 2 m"]) -> Int8[np.ndarray, "*shape"]:
        """Return the stratum of labels, of rows as of wished results."""
        by_column = {
            name: labels[..., kind, a] for kind, names in enumerate(self._columns) for a, name in enumerate(names)
        }
        return self.lookup.strata.of(by_column)

    def truths(self, labels: Integer[np.ndarray, "*shape 2 m"]) -> Integer[np.ndarray, "*shape"]:
        """Return the held-out row that shows each combination, NOT_FOUND where there is none."""
        own = labels[..., 1, :]
        found = self.lookup.find(own.reshape(-1, own.shape[-1]), self.schema.group_columns, held_out=True)
        return found.reshape(own.shape[:-1])

    def unseen(self, rows: Integer[np.ndarray, "*shape"], attribute: int) -> Bool[np.ndarray, "*shape"]:
        """Tell of which rows the value (or instance) of an attribute is held out as a whole."""
        held = self.lookup.strata.held
        columns = (names[attribute] for names in self._columns)
        return np.asarray(np.any([held[name][self.lookup.labels.columns[name][rows]] for name in columns], axis=0))

    @property
    def _columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.schema.columns, self.schema.group_columns


def plan_evaluation(lookup: ImageLookup, schema: AttributeSchema, config: EvaluateConfig) -> EvaluationPlan:
    """Draw what is judged: `num_edits` replacements over all attributes, and as many recombinations, of each stratum.

    Raises:
        EvaluationError: no held-out image of seen pairs has another one that differs from it in every attribute.
    """
    generator = np.random.default_rng(config.seed)
    limit = max(config.num_reconstructions, config.num_edits, MAX_TEST)
    pools = [lookup.sample(limit, stratum, generator) for stratum in Stratum]
    drawing = Drawing(lookup, schema, pools, generator)
    wanted = -(-config.num_edits // len(schema.names))
    replaced = [draw_replacements(drawing, stratum, wanted) for stratum in Stratum if len(pools[stratum])]
    sources, donors = (np.concatenate(rows) for rows in zip(*replaced, strict=True))
    if not len(sources):
        raise EvaluationError(
            f"none of {sum(map(len, pools))} held-out images has another one that differs from it in every one of the"
            f" attributes {', '.join(schema.names)}; hold more images out (data.holdout) or label them more variedly"
        )
    givers = np.concatenate(
        [draw_givers(drawing, stratum, config.num_edits) for stratum in Stratum if len(pools[stratum])]
    )
    own, theirs, given = (drawing.labels(rows) for rows in (sources, donors, givers))
    labels = np.concatenate([replace_labels(own, theirs).reshape(-1, *own.shape[1:]), recombine_labels(given)])
    between = np.maximum(drawing.strata(own), drawing.strata(theirs)).repeat(len(schema.names))
    hardest = np.concatenate([between, drawing.strata(given).max(axis=1)])
    plan = EvaluationPlan(
        labels=lookup.labels,
        train=lookup.sample(MAX_TRAIN, False, generator),
        test=np.concatenate([pool[:MAX_TEST] for pool in pools]),
        test_strata=_strata_of(pools, MAX_TEST),
        reconstructed=np.concatenate([pool[: config.num_reconstructions] for pool in pools]),
        reconstructed_strata=_strata_of(pools, config.num_reconstructions),
        sources=sources,
        donors=donors,
        givers=givers,
        edit_labels=labels,
        edit_truths=drawing.truths(labels),
        edit_strata=np.maximum(drawing.strata(labels), hardest),
    )
    return restrict(plan)


def labels_of(
    lookup: ImageLookup, schema: AttributeSchema, rows: Integer[np.ndarray, "*shape"]
) -> Integer[np.ndarray, "*shape 2 m"]:
    """Return the label and the GROUP label of every attribute of rows of any arrangement."""
    return np.stack([lookup.labels.matrix(names)[rows] for names in (schema.columns, schema.group_columns)], axis=-2)


def draw_replacements(drawing: Drawing, stratum: Stratum, count: int) -> tuple[Rows, Rows]:
    """Return at most `count` sources of a stratum and the donor that suits each best; without one it is left out.

    A donor differs in every attribute. Of those, one is taken with which most results are of the source's stratum and
    shown by a held-out picture. Whatever the stratum, a source of an unseen
    instance gets donors of seen pairs: it is edited in its other attributes.
    """
    sources = drawing.pools[stratum][:count]
    seen, pair, instance = drawing.pools
    pool = seen if stratum == Stratum.SEEN else np.concatenate([seen, pair])
    pool = pool if len(pool) else instance
    donors, kept = np.empty_like(sources), np.empty(len(sources), bool)
    for start in range(0, len(sources), CHUNK):
        rows = slice(start, start + CHUNK)
        candidates = pool[drawing.generator.integers(len(pool), size=(len(sources[rows]), NUM_CANDIDATES))]
        own, theirs = drawing.labels(sources[rows])[:, None], drawing.labels(candidates)
        shares = (own == theirs).any(axis=(2, 3))
        results = replace_labels(np.broadcast_to(own, theirs.shape), theirs)
        fitting = (drawing.strata(results) == stratum).sum(axis=2)
        score = fitting + (drawing.truths(results) != NOT_FOUND).sum(axis=2) - 1000 * shares
        best = score.argmax(axis=1)
        chosen = np.arange(len(best))
        donors[rows], kept[rows] = candidates[chosen, best], ~shares[chosen, best]
    return sources[kept], donors[kept]


def draw_givers(drawing: Drawing, stratum: Stratum, count: int) -> Integer[np.ndarray, "count m"]:
    """Return m rows per recombination; as far as the data allow, giver j alone has its value of attribute j.

    Otherwise a model that takes attribute j from the wrong picture might be right by chance. In the stratum of unseen
    instances one giver is of that stratum, and gives what is unseen of it.
    """
    m, pools = len(drawing.schema.names), drawing.pools
    seen = pools[Stratum.SEEN] if len(pools[Stratum.SEEN]) else pools[stratum]
    chosen = np.empty((count, m), np.int64)
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        candidates = seen[drawing.generator.integers(len(seen), size=(size, NUM_CANDIDATES, m))]
        if stratum == Stratum.UNSEEN_INSTANCE:
            givers = pools[stratum][drawing.generator.integers(len(pools[stratum]), size=(size, NUM_CANDIDATES))]
            for a in range(m):
                unseen = drawing.unseen(givers, a)
                candidates[..., a] = np.where(unseen, givers, candidates[..., a])
        labels = drawing.labels(candidates)
        results = recombine_labels(labels)
        wrong = drawing.strata(results) != stratum
        score = (drawing.truths(results) != NOT_FOUND) - _coincidences(labels) - 1000 * wrong
        chosen[start : start + size] = candidates[np.arange(size), score.argmax(axis=1)]
    return chosen


def replace_labels(source: Integer[np.ndarray, "*n 2 m"], donor: Integer[np.ndarray, "*n 2 m"]) -> Labels:
    """Return the labels after each replacement: [..., j, :, :] is the source with attribute j from its donor."""
    m = source.shape[-1]
    is_swapped = np.eye(m, dtype=bool)[:, None]
    return np.where(is_swapped, donor[..., None, :, :], source[..., None, :, :])


def recombine_labels(givers: Integer[np.ndarray, "*n m 2 m"]) -> Labels:
    """Return the labels of pictures whose attribute j comes from giver j."""
    return np.diagonal(givers, axis1=-3, axis2=-1)


def restrict(plan: EvaluationPlan) -> EvaluationPlan:
    """Return the plan over a table of its own rows alone, so that no worker has to know all labels of a huge set."""
    names = ("train", "test", "reconstructed", "sources", "donors", "givers", "edit_truths")
    every = np.unique(np.concatenate([getattr(plan, name).ravel() for name in names]))
    kept = every[every != NOT_FOUND]

    def place(rows: Integer[np.ndarray, "*shape"]) -> Integer[np.ndarray, "*shape"]:
        return np.where(rows == NOT_FOUND, NOT_FOUND, np.searchsorted(kept, rows))

    placed: dict[str, Any] = {name: place(getattr(plan, name)) for name in names}
    return replace(plan, labels=plan.labels.take(kept), **placed)


def _strata_of(pools: Sequence[Rows], limit: int) -> Int8[np.ndarray, " rows"]:
    """Return the strata of the first rows of each pool, laid end to end."""
    return np.repeat(np.arange(len(pools), dtype=np.int8), [min(len(pool), limit) for pool in pools])


def _coincidences(labels: Integer[np.ndarray, "*n m 2 m"]) -> Integer[np.ndarray, "*n"]:
    """Count the givers that have another giver's value of the attribute which that one gives."""
    given = recombine_labels(labels)
    same = (labels == given[..., None, :, :]).sum(axis=(-3, -2, -1))
    return np.asarray(same - given.shape[-1] * given.shape[-2])
