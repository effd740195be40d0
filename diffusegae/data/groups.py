"""GROUP planning: which rows form a GROUP(C, s) (Definition 1), from integer labels and a generator alone.

A group is a centre and one partner for every subset of `s` attributes. The partner of a subset agrees with its centre
in the attributes of that subset and in no other, and is drawn uniformly from all rows of which that is true.

Drawing is by rejection: a candidate comes from the centre's *pool*, a set of rows that holds every partner that
qualifies, and is redrawn if it agrees in one attribute too many. A pool begins as the rows that agree with the centre
in the subset. Where that would reject too often, the rows that carry the centre's most frequent value are taken out,
attribute after attribute, until draws succeed or none is left. Drawing is therefore quick whatever the data look like,
and an empty pool is the exact statement that a centre has no partner. Pools depend on the labels of a centre only, so
they are kept per *cell*: per distinct combination of labels.

GZS-Net's code also knows a looser way, "sample edge": a partner agrees in its subset, and elsewhere as chance has it.
That is `partners="sharing"`; its first pools are its last, and a row that nothing else resembles is its own partner.

A missing label agrees with none and differs from all. A centre that lacks an attribute of a subset is its own partner
for it: swapping with oneself teaches nothing and nothing wrong.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
from jaxtyping import Bool, Integer

from diffusegae.data.records import MISSING

Indices = Integer[np.ndarray, "_"]
Flags = Bool[np.ndarray, "_"]
Partners = Literal["exact", "sharing"]

# Blocks bound the temporary memory. The order of random numbers, hence every plan, depends on the groups per block.
GROUPS_PER_BLOCK = 1 << 16
ROWS_PER_BLOCK = 1 << 22
# A pool is good enough if so many of so many trial draws succeed: about one in sixteen.
NUM_TRIALS = 64
NUM_SUCCESSES = 4
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


class GroupError(ValueError):
    """A number of shared attributes for which no group is defined."""


@dataclass(frozen=True)
class GroupPlan:
    """Groups as row indices, their members named by role, and how many centres have none."""

    members: Integer[np.ndarray, "groups members"]
    """Column 0 is the centre, column 1 + j the partner of `subsets[j]`."""
    subsets: tuple[tuple[int, ...], ...]
    """The attributes that each partner shares with its centre, in order; a centre that lacks one is its own partner."""
    num_without_partner: int
    """Centres dropped because at least one subset has no partner for them."""
    num_lacking: tuple[int, ...]
    """Centres without a partner, for each subset; a centre may lack several."""

    @property
    def centres(self) -> Integer[np.ndarray, " groups"]:
        """Return the row of every group's centre, in the order of the centres that were asked for."""
        return self.members[:, 0]

    def partners(self, *subset: int) -> Integer[np.ndarray, " groups"]:
        """Return the row of every group's partner that shares exactly the attributes `subset` with its centre."""
        return self.members[:, 1 + self.subsets.index(tuple(sorted(subset)))]


def plan_groups(
    labels: Integer[np.ndarray, "rows attributes"],
    centres: Integer[np.ndarray, " groups"],
    shared: int,
    generator: np.random.Generator,
) -> GroupPlan:
    """Draw GROUP(C, `shared`) around every row of `centres` that has a partner for each subset of attributes.

    Raises:
        GroupError: `shared` is not between 1 and the number of attributes less one.
    """
    return GroupIndex(labels, shared).plan(centres, generator)


class GroupIndex:
    """A label table prepared for drawing groups, to be used for any number of plans; MISSING marks a lacking label.

    Takes 4 bytes per row, and 4 more for each subset; attributes that predict each other may double that.

    Raises:
        GroupError: `shared` is not between 1 and the number of attributes less one.
    """

    def __init__(
        self, labels: Integer[np.ndarray, "rows attributes"], shared: int, partners: Partners = "exact"
    ) -> None:
        num_attributes = labels.shape[1]
        if not 1 <= shared < num_attributes:
            raise GroupError(
                f"GROUP(C, {shared}) over {num_attributes} attribute(s): a partner shares at least 1 and at most "
                f"{num_attributes - 1} of them; choose another number of shared attributes or label one more"
            )
        self.subsets = tuple(combinations(range(num_attributes), shared))
        self._cells = _Cells.of(labels)
        self._pools = [_Pools(self._cells, subset, partners) for subset in self.subsets]
        self._lacking = np.stack([pools.empty_cells() for pools in self._pools])
        self._unlabelled = np.logical_and.reduce([pools.unlabelled for pools in self._pools])

    def has_group(self, rows: Integer[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
        """Tell which rows can be the centre of a group: they lack no partner, and have the labels of one subset."""
        eligible_cells = ~(np.logical_or.reduce(self._lacking) | self._unlabelled)
        eligible: Bool[np.ndarray, " rows"] = eligible_cells[self._cells.of_row[rows]]
        return eligible

    def plan(self, centres: Integer[np.ndarray, " groups"], generator: np.random.Generator) -> GroupPlan:
        """Draw a group around every row of `centres` that has one; the same generator state gives the same plan."""
        kept = centres[self.has_group(centres)]
        members = np.empty((len(kept), 1 + len(self.subsets)), dtype=self._cells.of_row.dtype)
        members[:, 0] = kept
        for block in _blocks(len(kept), GROUPS_PER_BLOCK):
            cells = self._cells.of_row[kept[block]]
            for role, pools in enumerate(self._pools, start=1):
                labelled = ~pools.unlabelled[cells]
                members[block, role] = kept[block]
                members[block, role][labelled] = pools.draw(cells[labelled], generator)
        centres_of_cell = np.bincount(self._cells.of_row[centres], minlength=self._lacking.shape[1])
        return GroupPlan(
            members=members,
            subsets=self.subsets,
            num_without_partner=len(centres) - len(kept),
            num_lacking=tuple(int(centres_of_cell[lacking].sum()) for lacking in self._lacking),
        )


@dataclass(frozen=True)
class _Column:
    """Integers as codes 0 .. num_values - 1 in the smallest type that holds them."""

    codes: Indices
    num_values: int
    wanted: Indices
    """What a centre compares with the codes of others: its own, and for a missing label a code that none has."""

    @classmethod
    def of(cls, values: Indices) -> "_Column":
        distinct, places = _compress(values)
        missing = np.flatnonzero(distinct == MISSING)
        num_values = len(distinct) + len(missing)
        codes = places.astype(np.min_scalar_type(max(num_values - 1, 0)))
        if not missing.size:
            return cls(codes, num_values, codes)
        return cls(codes, num_values, np.where(codes == missing[0], num_values - 1, codes).astype(codes.dtype))

    @property
    def lacking(self) -> Flags:
        """Where the label is missing."""
        lacking: Flags = self.codes != self.wanted
        return lacking

    def take(self, rows: Indices) -> "_Column":
        """Return the column of some rows."""
        codes = self.codes[rows]
        return replace(self, codes=codes, wanted=codes if self.wanted is self.codes else self.wanted[rows])

    def keys(self, owners: Indices, codes: Indices) -> Indices:
        """Give every pair of an owner and a value of this column a number of its own."""
        pairs: Indices = owners * np.int64(self.num_values) + codes
        return pairs


@dataclass(frozen=True)
class _Cells:
    """The distinct combinations of labels: the cell of every row, and every attribute of the cells."""

    of_row: Indices
    attributes: list[_Column]

    @classmethod
    def of(cls, labels: Integer[np.ndarray, "rows attributes"]) -> "_Cells":
        columns = [_Column.of(labels[:, attribute]) for attribute in range(labels.shape[1])]
        cells = _join(columns)
        of_row = cells.codes.astype(_index_type(len(labels)))
        representatives = np.empty(cells.num_values, dtype=of_row.dtype)
        representatives[of_row] = np.arange(len(labels), dtype=of_row.dtype)
        return cls(of_row, [column.take(representatives) for column in columns])


class _Pools:
    """The candidate partners of every cell for one subset: pool p is entries[starts[p] : starts[p] + sizes[p]]."""

    def __init__(self, cells: _Cells, subset: tuple[int, ...], partners: Partners) -> None:
        self._cell_of_row = cells.of_row
        others = range(len(cells.attributes)) if partners == "exact" else ()
        self._others = [cells.attributes[attribute] for attribute in others if attribute not in subset]
        shared = [cells.attributes[attribute] for attribute in subset]
        self.unlabelled = np.logical_or.reduce([column.lacking for column in shared])
        pools = _join(shared)
        pool_of_row = pools.codes[cells.of_row]
        self._pool_of_cell = pools.codes.astype(cells.of_row.dtype)
        self._entries = _stable_order(pool_of_row, pools.num_values).astype(cells.of_row.dtype)
        self._sizes = np.bincount(pool_of_row, minlength=pools.num_values)
        self._starts = np.cumsum(self._sizes) - self._sizes
        if self._others:
            self._refine()

    def empty_cells(self) -> Flags:
        """Tell for every cell whether its rows have the labels of the subset and no partner."""
        empty: Flags = (self._sizes == 0)[self._pool_of_cell] & ~self.unlabelled
        return empty

    def draw(self, cells: Indices, generator: np.random.Generator) -> Indices:
        """Draw one partner for a centre in each of the cells, none of which may have an empty pool."""
        starts, sizes, own = self._look_up(cells)
        partners = np.empty(len(cells), dtype=self._entries.dtype)
        pending = np.arange(len(cells))
        while pending.size:
            # random() < 1 has 53 bits, so the product stays below the size and its bias below size / 2**53.
            candidates = self._entries[starts + (generator.random(pending.size) * sizes).astype(np.int64)]
            partners[pending] = candidates
            again = np.flatnonzero(~self._qualify(candidates, own))
            pending, starts, sizes = pending[again], starts[again], sizes[again]
            own = [codes[again] for codes in own]
        return partners

    def _look_up(self, cells: Indices) -> tuple[Indices, Indices, list[Indices]]:
        """Return where the pool of each cell starts, its size, and the cell's codes of the other attributes."""
        pools = self._pool_of_cell[cells]
        return self._starts[pools], self._sizes[pools], [column.wanted[cells] for column in self._others]

    def _qualify(self, candidates: Indices, own: list[Indices]) -> Flags:
        """Tell which candidates differ from their centre in every attribute outside the subset."""
        cells = self._cell_of_row[candidates]
        qualified = np.ones(len(candidates), dtype=bool)
        for column, codes in zip(self._others, own, strict=True):
            qualified &= column.codes[cells] != codes
        return qualified

    def _refine(self) -> None:
        """Replace every pool in which draws fail too often by a smaller one, which may be empty.

        Each pass takes one more attribute's value out of a cell's pool, so there are at most as many as attributes.
        """
        pending: Indices = np.arange(len(self._pool_of_cell), dtype=self._entries.dtype)
        first_pool = 0
        while pending.size:
            pending, worst = self._find_poor(pending, first_pool)
            first_pool = len(self._sizes)
            for position, column in enumerate(self._others):
                self._exclude(column, pending[worst == position])

    def _find_poor(self, cells: Indices, first_pool: int) -> tuple[Indices, Indices]:
        """Find the cells whose pool, one from `first_pool` on, is poor, and the attribute to exclude for each.

        By the union bound a draw fails with at most the sum of the shares that the cell's values have in its pool.
        At 3/4 or less that is good enough; above it trials decide.
        """
        tallies = [self._tally(column, first_pool) for column in self._others]
        poor_cells, worst_attributes = [], []
        for block in _blocks(len(cells), ROWS_PER_BLOCK):
            pools = self._pool_of_cell[cells[block]]
            counts = np.stack(
                [
                    tally.count(column.keys(pools - first_pool, column.wanted[cells[block]]))
                    for column, tally in zip(self._others, tallies, strict=True)
                ]
            )
            suspects = np.flatnonzero(4 * counts.sum(axis=0) > 3 * self._sizes[pools])
            poor = suspects[self._fail_trials(cells[block][suspects])]
            # The first attribute that is nearly the worst, lest equal shares spread cells over many different pools.
            nearly_worst = 2 * counts[:, poor] >= counts[:, poor].max(axis=0)
            poor_cells.append(cells[block][poor])
            worst_attributes.append(np.argmax(nearly_worst, axis=0))
        return np.concatenate(poor_cells), np.concatenate(worst_attributes)

    def _fail_trials(self, cells: Indices) -> Indices:
        """Return the positions of the cells whose pool lets too few trial draws succeed.

        Trials walk through a pool by the golden ratio: evenly, without a period, and the same on every run.
        """
        starts, sizes, own = self._look_up(cells)
        successes = np.zeros(len(cells), dtype=np.uint8)
        pending = np.arange(len(cells))
        for trial in range(NUM_TRIALS):
            candidates = self._entries[starts + (trial * GOLDEN_RATIO % 1 * sizes).astype(np.int64)]
            successes += self._qualify(candidates, own)
            again = np.flatnonzero(successes < NUM_SUCCESSES)
            pending, starts, sizes, successes = pending[again], starts[again], sizes[again], successes[again]
            own = [codes[again] for codes in own]
        return pending

    def _tally(self, column: _Column, first_pool: int) -> "_Tally":
        """Count how often each value of an attribute occurs in each pool from `first_pool` on."""
        sizes = self._sizes[first_pool:]
        owners = np.repeat(np.arange(len(sizes)), sizes)
        cells = self._cell_of_row[self._entries[len(self._entries) - len(owners) :]]
        return _Tally(column.keys(owners, column.codes[cells]), len(sizes) * column.num_values)

    def _exclude(self, column: _Column, cells: Indices) -> None:
        """Give each cell a new pool: its old one without the entries that agree with it in one attribute."""
        if not cells.size:
            return
        distinct, children = _compress(column.keys(self._pool_of_cell[cells], column.wanted[cells]))
        parents, values = np.divmod(distinct, column.num_values)
        self._pool_of_cell[cells] = len(self._sizes) + children
        kept, sizes = [self._entries], [self._sizes]
        for block in _weighted_blocks(self._sizes[parents], ROWS_PER_BLOCK):
            entries, owners = self._gather(parents[block])
            differs = column.codes[self._cell_of_row[entries]] != values[block][owners]
            kept.append(entries[differs])
            sizes.append(np.bincount(owners[differs], minlength=len(parents[block])))
        self._entries, self._sizes = np.concatenate(kept), np.concatenate(sizes)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def _gather(self, pools: Indices) -> tuple[Indices, Indices]:
        """Return the entries of the pools, one pool after another, and for each the position of its pool."""
        sizes = self._sizes[pools]
        owners = np.repeat(np.arange(len(pools)), sizes)
        shifts = self._starts[pools] - (np.cumsum(sizes) - sizes)
        return self._entries[np.arange(len(owners)) + shifts[owners]], owners


class _Tally:
    """How often each key occurs: a table if most keys of the range occur, a sorted list if few do."""

    def __init__(self, keys: Indices, num_keys: int) -> None:
        self._keys: Indices | None = None
        if _is_dense(num_keys, len(keys)):
            self._counts = np.bincount(keys, minlength=num_keys)
        else:
            self._keys, self._counts = np.unique(keys, return_counts=True)

    def count(self, keys: Indices) -> Indices:
        counts: Indices
        if self._keys is None:
            counts = self._counts[keys]
        elif self._keys.size:
            positions = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            counts = np.where(self._keys[positions] == keys, self._counts[positions], 0)
        else:
            counts = np.zeros(len(keys), dtype=np.int64)
        return counts


def _join(columns: list[_Column]) -> _Column:
    """Give every combination of values of several columns a code."""
    joined = columns[0]
    for column in columns[1:]:
        joined = _Column.of(column.keys(joined.codes, column.codes))
    return joined


def _compress(values: Indices) -> tuple[Indices, Indices]:
    """Return the distinct values, ascending, and for each value its position among them."""
    if not values.size:
        return values, values.astype(np.int64)
    low = int(values.min())
    span = int(values.max()) - low + 1
    if not _is_dense(span, len(values)):
        distinct, codes = np.unique(values, return_inverse=True)
        return distinct, codes
    # Modulo 2**64 the difference is right for every integer type, also where the type itself would overflow.
    origin = np.uint64(low % 2**64)
    offsets = (values.astype(np.uint64) - origin).astype(np.int64)
    present = np.zeros(span, dtype=bool)
    present[offsets] = True
    distinct = (np.flatnonzero(present).astype(np.uint64) + origin).astype(values.dtype)
    return distinct, (np.cumsum(present) - 1)[offsets]


def _stable_order(codes: Indices, num_codes: int) -> Indices:
    """Sort stably by radix, 16 bits at a time: numpy's stable sort is linear in the rows for such keys only."""
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    for shift in range(16, (num_codes - 1).bit_length(), 16):
        order = order[np.argsort((codes[order] >> shift).astype(np.uint16), kind="stable")]
    return order


def _is_dense(span: int, num_keys: int) -> bool:
    return span <= 4 * num_keys + (1 << 16)


def _index_type(num_rows: int) -> np.dtype[np.signedinteger]:
    """Return the index type: four bytes, as long as pools (a few times the rows in the worst case) can be counted."""
    return np.dtype(np.int32 if num_rows < 1 << 28 else np.int64)


def _blocks(length: int, step: int) -> Iterator[slice]:
    return (slice(first, first + step) for first in range(0, max(length, 1), step))


def _weighted_blocks(weights: Indices, step: int) -> Iterator[slice]:
    """Cut a list into runs of about `step` total weight."""
    ends = np.cumsum(weights)
    num_blocks = max(math.ceil(int(ends[-1]) / step), 1)
    cuts = np.unique([0, *np.searchsorted(ends, step * np.arange(1, num_blocks)), len(weights)])
    return (slice(int(first), int(last)) for first, last in pairwise(cuts))
