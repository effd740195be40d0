"""Splits: which images are held out (a share of them, pairs of values, whole values), and the stratum of labels.

A holdout is resolved once, at ingest, from what the config asks for to lists of names. Every choice is by hash of the
names alone, so it does not depend on the order, the chunks or the shards in which a source is read.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Int8, Integer
from pydantic import BaseModel, ConfigDict, Field

from diffusegae.config.holdout import HoldoutConfig
from diffusegae.data.records import MISSING
from diffusegae.schema import AttributeSchema, frequent_labels

Flags = Bool[np.ndarray, "_"]
_Item = TypeVar("_Item")
Counts = Integer[np.ndarray, "_"]


class Stratum(IntEnum):
    """How far something is from what was trained on, the hardest last."""

    SEEN = 0
    UNSEEN_PAIR = 1
    UNSEEN_INSTANCE = 2


STRATA: tuple[str, ...] = ("seen_pairs", "unseen_pair", "unseen_instance")  # names in figures, by Stratum
_EXAMPLES = 8  # names that an error shows


class HoldoutError(ValueError):
    """A holdout that names what the data lack, or leaves too little to train on."""


class HeldPairs(BaseModel):
    """Pairs of values of two label columns that no training image shows together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, str]
    values: tuple[tuple[str, str], ...]


class Holdout(BaseModel):
    """What a data set holds out, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int = Field(description="Percent of images, by a hash of their key.")
    pairs: tuple[HeldPairs, ...] = ()
    values: dict[str, tuple[str, ...]] = Field({}, description="Label or GROUP column to the values held out of it.")


@dataclass(frozen=True)
class Combinations:
    """The distinct combinations of labels in a source, as indices into vocabularies, and the images that show each.

    A missing label is MISSING.
    """

    vocabularies: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, Integer[np.ndarray, " n"]]
    counts: Integer[np.ndarray, " n"]

    def images(self, kept: Bool[np.ndarray, " n"] | slice = slice(None)) -> dict[str, Counts]:
        """Count the images per value of each column, those of `kept` combinations alone if given."""
        counts = {}
        for column, labels in self.labels.items():
            own, weights = labels[kept], self.counts[kept]
            found = np.bincount(own[own != MISSING], weights[own != MISSING], len(self.vocabularies[column]))
            counts[column] = found.astype(np.int64)
        return counts

    def labelled(self, columns: Sequence[str]) -> Bool[np.ndarray, " n"]:
        """Tell which combinations have a label in every one of some columns."""
        return np.asarray(np.all([self.labels[column] != MISSING for column in columns], axis=0))


class Strata:
    """Tells the stratum of labels, of rows as of wished results; built once, it costs some lookups per label.

    With `trained`, the labels of all training rows by column, every pair of the holdout's columns that none of them
    shows counts as unseen, held out by name or not: a set that lacks combinations cannot have taught them.
    """

    def __init__(
        self,
        holdout: Holdout,
        vocabularies: Mapping[str, Sequence[str]],
        trained: Mapping[str, Integer[np.ndarray, " n"]] | None = None,
    ) -> None:
        self.held: dict[str, Flags] = {
            column: np.isin(np.arange(len(values)), _places(values, holdout.values.get(column, ())))
            for column, values in vocabularies.items()
        }
        self._listed_are_seen = trained is not None
        self._pairs: list[tuple[tuple[str, str], int, Counts]] = []
        for pairs in holdout.pairs:
            first, second = pairs.columns
            size = len(vocabularies[second])
            if trained is None:
                places = [_places(vocabularies[column], (pair[k] for pair in pairs.values))
                          for k, column in enumerate(pairs.columns)]  # fmt: skip
                listed = _join(places[0], places[1], size)
            else:
                known = (trained[first] != MISSING) & (trained[second] != MISSING)
                listed = np.unique(_join(trained[first][known], trained[second][known], size))
            self._pairs.append((pairs.columns, size, listed))

    def of(self, labels: Mapping[str, Integer[np.ndarray, "*shape"]]) -> Int8[np.ndarray, "*shape"]:
        """Return numbers of `Stratum`: the hardest that applies. `labels` needs every column that is held out from.

        A label that is missing might be any, so what lacks one gets the hardest stratum that it might belong to.
        """
        strata = np.zeros(next(iter(labels.values())).shape, np.int8)
        for (first, second), size, listed in self._pairs:
            codes = _join(labels[first], labels[second], size)
            unknown = (labels[first] == MISSING) | (labels[second] == MISSING)
            strata[np.isin(codes, listed, invert=self._listed_are_seen) | unknown] = Stratum.UNSEEN_PAIR
        for column, held in self.held.items():
            if held.any():
                strata[held[labels[column]] | (labels[column] == MISSING)] = Stratum.UNSEEN_INSTANCE
        return strata


def hash_keys(keys: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Hash keys to 64 bits that are the same on every machine and in every version."""
    digests = b"".join(hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def is_held_out(keys: Iterable[str], percent: int) -> npt.NDArray[np.bool_]:
    """Tell which keys are held out: a function of the key and nothing else, so the split outlives any sharding.

    What is held out at some percentage stays so at every larger one.
    """
    return hash_keys(keys) % np.uint64(100) < percent


def resolve_holdout(config: HoldoutConfig, schema: AttributeSchema, found: Combinations) -> Holdout:
    """Turn shares into lists of names: values first, then pairs among the combinations that are left.

    Raises:
        HoldoutError: a list names an unknown value, or of an attribute's instances none can be held out.
    """
    values: dict[str, set[str]] = {}
    for name, wanted in config.values.items():
        _hold_values(schema, schema.index_of(name), wanted, found, values)
    held = Holdout(images=config.images, values={column: tuple(sorted(names)) for column, names in values.items()})
    if config.pairs is None:
        return held
    left = Strata(held, found.vocabularies).of(found.labels) != Stratum.UNSEEN_INSTANCE
    columns = sorted(schema.columns[schema.index_of(name)] for name in config.pairs.attributes)
    pairs = [_hold_pairs(pair, config.pairs.percent, found, left) for pair in combinations(columns, 2)]
    return held.model_copy(update={"pairs": tuple(pairs)})


def absent_values(holdout: Holdout, schema: AttributeSchema, found: Combinations) -> dict[str, Flags]:
    """Tell for each column of the attributes which values are to have no training image: those held out by name.

    An instance is one of them, too, when all its label values are.
    """
    held = Strata(holdout, found.vocabularies).held
    absent = {column: held[column].copy() for column in (*schema.columns, *schema.group_columns)}
    for attribute in schema.attributes:
        label, group = attribute.column, attribute.group_column
        own = found.labelled([group])
        labels = found.labels[label][own]
        is_kept = ~held[label][labels] | (labels == MISSING)
        remaining = np.bincount(found.labels[group][own], is_kept, len(held[group]))
        absent[group] |= (remaining == 0) & found.images()[group].astype(bool)
    return absent


def require_trainable(
    schema: AttributeSchema,
    absent: Mapping[str, Flags],
    images: Mapping[str, Counts | Sequence[int]],
    trained: Mapping[str, Counts | Sequence[int]],
    num_named: int,
) -> None:
    """Check that training keeps two values of each attribute, and an image of every value not held out by name.

    `images` and `trained` count the images per value of each column, in all and in training. Of columns with more than
    `num_named` values only that many, the most frequent ones, have to keep an image: the others judge nothing.

    Raises:
        HoldoutError: names the value, how many images it has, and the remedy.
    """
    for attribute in schema.attributes:
        remedy = "hold less out (data.holdout) or add images"
        for column, values in ((attribute.column, attribute.values), (attribute.group_column, attribute.group_values)):
            counts, kept = np.asarray(images[column]), np.asarray(trained[column])
            if (kept > 0).sum() < 2:
                raise HoldoutError(
                    f"attribute {attribute.name!r}: training is left with {(kept > 0).sum()} value(s) of column"
                    f" {column!r}, expected at least 2; {remedy}"
                )
            lost = np.flatnonzero((counts > 0) & (kept == 0) & ~absent[column])
            if frequent := frequent_labels(counts.tolist(), num_named):
                lost = np.intersect1d(lost, frequent)
            if len(lost):
                raise HoldoutError(
                    f"attribute {attribute.name!r}: no training image is left of {len(lost)} value(s) of column"
                    f" {column!r}: {_show(f'{values[k]!r} ({counts[k]} images, all held out)' for k in lost)};"
                    f" {remedy}, or name what training is to lack in data.holdout.values.{attribute.name}"
                )


def _hold_values(
    schema: AttributeSchema,
    position: int,
    wanted: float | Sequence[str],
    found: Combinations,
    values: dict[str, set[str]],
) -> None:
    """Add to `values` what is held out of one attribute, by column."""
    attribute = schema.attributes[position]
    label, group = attribute.column, attribute.group_column
    if not isinstance(wanted, float):
        for name in wanted:
            column = next((column for column in (group, label) if name in found.vocabularies[column]), None)
            if column is None:
                known = dict.fromkeys([*attribute.values[:_EXAMPLES], *attribute.group_values[:_EXAMPLES]])
                raise HoldoutError(
                    f"data.holdout.values.{attribute.name} names {name!r}, which the data do not have; some of the"
                    f" known values: {', '.join(known)}"
                )
            values.setdefault(column, set()).add(name)
        return
    labelled = found.labelled([group, label])
    own = np.unique(np.stack([found.labels[group][labelled], found.labels[label][labelled]], axis=1), axis=0)
    remaining = np.bincount(own[:, 1], minlength=len(found.vocabularies[label]))
    labels_of = {k: own[own[:, 0] == k, 1] for k in np.unique(own[:, 0]).tolist()}
    names = found.vocabularies[group]
    count = max(1, round(len(labels_of) * wanted / 100))
    taken: set[str] = set()
    for k in _by_hash(list(labels_of), [f"{group}\0{names[k]}" for k in labels_of]):
        if len(taken) < count and (group == label or remaining[labels_of[k]].min() > 1):
            taken.add(names[k])
            remaining[labels_of[k]] -= 1
    if not taken:
        raise HoldoutError(
            f"data.holdout.values.{attribute.name} is {wanted:g} percent of the instances, but every value of column"
            f" {label!r} has a single one in column {group!r}; hold out whole values by a list of their names"
        )
    values.setdefault(group, set()).update(taken)


def _hold_pairs(columns: tuple[str, str], percent: float, found: Combinations, left: Flags) -> HeldPairs:
    """Hold out a share of the pairs of values that the combinations left show."""
    left = left & found.labelled(columns)
    pairs = np.unique(np.stack([found.labels[column][left] for column in columns], axis=1), axis=0).tolist()
    first, second = (found.vocabularies[column] for column in columns)
    named = [(first[a], second[b]) for a, b in pairs]
    count = max(1, round(len(named) * percent / 100))
    chosen = _by_hash(named, ["\0".join((*columns, *pair)) for pair in named])[:count]
    return HeldPairs(columns=columns, values=tuple(sorted(chosen)))


def _by_hash(items: Sequence[_Item], keys: Sequence[str]) -> list[_Item]:
    return [items[place] for place in np.argsort(hash_keys(keys), kind="stable")]


def _places(vocabulary: Sequence[str], names: Iterable[str]) -> Integer[np.ndarray, "_"]:
    place_of = {value: place for place, value in enumerate(vocabulary)}
    return np.array([place_of[name] for name in names], np.int64)


def _join(first: Integer[np.ndarray, "*n"], second: Integer[np.ndarray, "*n"], size: int) -> Integer[np.ndarray, "*n"]:
    codes: np.ndarray = first.astype(np.int64) * size + second
    return codes


def _show(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_EXAMPLES]) + (", …" if len(shown) > _EXAMPLES else "")
