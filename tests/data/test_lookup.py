"""Random access: the right pixels for any rows, and the row that shows a wanted combination of labels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from diffusegae.data import lookup as lookup_module
from diffusegae.data.lookup import NOT_FOUND, ImageLookup, LabelIndex
from diffusegae.data.records import MISSING
from diffusegae.data.splits import HeldPairs, Holdout, Stratum
from tests.stored_images import paint, write_images

COLUMNS = {"kind": 4, "ground": 3, "pose": 5}
LEFT_OUT = [(1, 2, 3), (0, 0, 0)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> ImageLookup:
    root = str(tmp_path_factory.mktemp("set"))
    return ImageLookup(root, write_images(root, COLUMNS, LEFT_OUT))


def test_takes_the_pixels_of_any_rows_in_their_order(stored: ImageLookup) -> None:
    rows = np.array([57, 0, 19, 20, 20, 3])  # across shards, one twice
    labels = stored.labels.matrix(tuple(COLUMNS))
    assert np.array_equal(stored.take(rows), np.stack([paint(labels[row].tolist()) for row in rows]))
    assert stored.take(np.array([], np.int64)).shape == (0, 32, 32, 3)


PAIRS = HeldPairs(columns=("ground", "pose"), values=(("ground1", "pose2"), ("ground2", "pose0")))
HOLDOUT = Holdout(images=40, pairs=(PAIRS,), values={"kind": ("kind3",)})


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> ImageLookup:
    root = str(tmp_path_factory.mktemp("split"))
    return ImageLookup(root, write_images(root, COLUMNS, [(0, 0, 0)], holdout=HOLDOUT))


def test_each_stratum_is_sampled_from_its_held_out_rows(split: ImageLookup) -> None:
    kind, ground, pose = split.labels.matrix(tuple(COLUMNS)).T
    is_pair = ((ground == 1) & (pose == 2)) | ((ground == 2) & (pose == 0))
    expected = {
        Stratum.SEEN: split.labels.held_out & ~is_pair & (kind != 3),
        Stratum.UNSEEN_PAIR: is_pair & (kind != 3),
        Stratum.UNSEEN_INSTANCE: kind == 3,
    }
    for stratum, rows in expected.items():
        found = split.sample(1000, stratum, np.random.default_rng(0))
        assert sorted(found.tolist()) == np.flatnonzero(rows).tolist()
        assert len(found)
    train = split.sample(1000, False, np.random.default_rng(0))
    assert not split.labels.held_out[train].any()
    assert not (is_pair | (kind == 3))[train].any()


def test_a_wish_that_training_lacks_is_an_unseen_pair_by_name_or_not(tmp_path: Path) -> None:
    absent = [(kind, 1, 1) for kind in range(4)]
    stored = ImageLookup(str(tmp_path), write_images(str(tmp_path), COLUMNS, absent, holdout=HOLDOUT))
    wished = {"kind": np.array([0, 0, 0, 3]), "ground": np.array([1, 1, 0, 1]), "pose": np.array([1, 2, 1, 1])}
    assert stored.strata.of(wished).tolist() == [1, 1, 0, 2]


def test_only_held_out_rows_are_found_if_asked(split: ImageLookup) -> None:
    wanted = np.array([(k, g, p) for k in range(4) for g in range(3) for p in range(5)])
    rows, held = (split.find(wanted, tuple(COLUMNS), held_out=only) for only in (False, True))
    is_held = (rows != NOT_FOUND) & split.labels.held_out[rows]
    assert np.array_equal(held, np.where(is_held, rows, NOT_FOUND))
    assert 0 < np.sum(held == NOT_FOUND) < len(held)


def test_nothing_is_found_where_no_row_is_held_out(tmp_path: Path) -> None:
    stored = ImageLookup(str(tmp_path), write_images(str(tmp_path), COLUMNS, holdout=Holdout(images=0)))
    assert stored.find(np.array([[0, 0, 0]]), tuple(COLUMNS), held_out=True).tolist() == [NOT_FOUND]


def test_a_lookup_of_some_rows_knows_no_others(split: ImageLookup, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([40, 3, 21])
    small = ImageLookup(split.uri, split.manifest, split.labels.take(rows))
    monkeypatch.setattr(lookup_module, "load_labels", None)
    assert np.array_equal(small.take(np.arange(3)), split.take(rows))
    wanted = split.labels.matrix(tuple(COLUMNS))[[21, 0]]
    assert small.find(wanted, tuple(COLUMNS)).tolist() == [2, NOT_FOUND]
    with pytest.raises(ValueError, match="can't tell what training saw"):
        small.strata  # noqa: B018


def test_reads_only_the_row_groups_it_needs(stored: ImageLookup, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.labels  # noqa: B018  loads the labels, which read all shards
    opened: list[tuple[str, int]] = []

    class Watched(pq.ParquetFile):  # type: ignore[misc]
        def __init__(self, path: str, **options: object) -> None:
            self.path = path
            super().__init__(path, **options)

        def read_row_group(self, index: int, columns: Sequence[str]) -> object:
            opened.append((Path(self.path).name, index))
            assert columns == ["image"]
            return super().read_row_group(index, columns=columns)

    monkeypatch.setattr(lookup_module.pq, "ParquetFile", Watched)
    stored.take(np.array([21, 23, 22, 45]))
    assert sorted(opened) == [("images-00001.parquet", 0), ("images-00002.parquet", 0)]


def test_row_groups_inside_a_shard_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusegae.data.shards.ROW_GROUP_ROWS", 8)
    monkeypatch.setattr(lookup_module, "ROW_GROUP_ROWS", 8)
    stored = ImageLookup(str(tmp_path), write_images(str(tmp_path), COLUMNS, shard_rows=30))
    rows = np.arange(len(stored.labels))[::-1]
    labels = stored.labels.matrix(tuple(COLUMNS))
    assert np.array_equal(stored.take(rows), np.stack([paint(labels[row].tolist()) for row in rows]))


def test_finds_every_combination_and_says_which_are_missing(stored: ImageLookup) -> None:
    wanted = np.array([(k, g, p) for k in range(4) for g in range(3) for p in range(5)])
    rows = stored.find(wanted, tuple(COLUMNS))
    is_left_out = [tuple(labels) in LEFT_OUT for labels in wanted.tolist()]
    assert np.array_equal(rows == NOT_FOUND, is_left_out)
    assert np.array_equal(stored.labels.matrix(tuple(COLUMNS))[rows[rows >= 0]], wanted[rows >= 0])


def test_finds_the_first_of_several_rows(stored: ImageLookup) -> None:
    rows = stored.find(np.array([[2, 1]]), ("kind", "pose"))
    labels = stored.labels.matrix(("kind", "pose"))
    assert rows.tolist() == [np.flatnonzero((labels == [2, 1]).all(axis=1))[0]]


def test_index_agrees_with_a_dictionary() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, [7, 50, 3], size=(400, 3))
    first: dict[tuple[int, ...], int] = {}
    for row, combination in enumerate(labels.tolist()):
        first.setdefault(tuple(combination), row)
    wanted = generator.integers(0, [7, 50, 3], size=(300, 3))
    expected = [first.get(tuple(combination), NOT_FOUND) for combination in wanted.tolist()]
    assert LabelIndex(labels, [7, 50, 3], np.arange(400)).find(wanted).tolist() == expected


def test_rows_that_lack_a_label_are_neither_drawn_nor_found(stored: ImageLookup) -> None:
    table = stored.labels
    columns = {name: labels.copy() for name, labels in table.columns.items()}
    lacking = np.arange(len(table)) % 3 == 0
    columns["pose"][lacking] = MISSING
    some = stored.restricted(replace(table, columns=columns))
    drawn = np.concatenate([some.sample(1000, held_out, np.random.default_rng(0)) for held_out in (False, True)])
    assert sorted(drawn.tolist()) == np.flatnonzero(~lacking).tolist()
    found = some.find(table.matrix(tuple(COLUMNS)), tuple(COLUMNS))
    assert np.array_equal(found == NOT_FOUND, lacking)


def test_samples_one_side_of_the_split_without_repeating(stored: ImageLookup) -> None:
    held_out = np.flatnonzero(stored.labels.held_out)
    rows = stored.sample(5, True, np.random.default_rng(1))
    assert len(set(rows.tolist())) == 5
    assert set(rows.tolist()) <= set(held_out.tolist())
    assert np.array_equal(rows, stored.sample(5, True, np.random.default_rng(1)))
    assert sorted(stored.sample(1000, True, np.random.default_rng(1)).tolist()) == held_out.tolist()


def test_a_large_set_is_sampled_from_few_row_groups(stored: ImageLookup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup_module, "POOL_ROWS", 1)
    monkeypatch.setattr(lookup_module, "POOL_SHARE", 1)
    shards = [set(stored.labels.shard[stored.sample(4, False, np.random.default_rng(k))].tolist()) for k in range(20)]
    assert all(len(chosen) == 1 for chosen in shards)
    assert len(set.union(*shards)) == 3
