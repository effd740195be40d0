"""The ceiling of what may be left out: ingest stops above it, says why, and goes on when it is raised."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from diffusegae import storage
from diffusegae.config.data import DataConfig
from diffusegae.data import ingest as ingest_module
from diffusegae.data.ingest import ingest
from diffusegae.data.records import NOT_A_PICTURE
from diffusegae.data.shards import has_manifest
from diffusegae.data.skipped import SkippedError, read_reasons, require_few
from diffusegae.data.sources.folder import FolderConfig
from diffusegae.data.units import UnitWriter
from diffusegae.schema import AttributeSpec
from diffusegae.training.launch import stage_fingerprint
from tests.image_files import picture, write_tree
from tests.tiny import smoke_config

SIZE = 32


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Do the units in this process; the list notes which."""
    noted: list[int] = []

    def run(units: Sequence[int], work: UnitWriter) -> Iterator[int]:
        for unit in units:
            noted.append(unit)
            yield work(unit)

    monkeypatch.setattr(ingest_module, "run_units", run)
    return noted


def folder(root: Path, num_good: int, num_bad: int, max_skipped: float, num_lost: int = 0) -> DataConfig:
    files = {f"{number:02}.png": picture(number) for number in range(num_good)}
    files |= {f"{number:02}.png": b"damaged" for number in range(num_good, num_good + num_bad)}
    write_tree(root / "files", files)
    names = [*files, *(f"lost{number}.png" for number in range(num_lost))]
    lines = [f"{name},{'AB'[k % 2]},{'xyz'[k % 3]}" for k, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join(["path,letter,ink", *lines]))
    return DataConfig(
        source=FolderConfig(images=str(root / "files"), table=str(root / "labels.csv")),
        attributes={"letter": AttributeSpec(width=4), "ink": AttributeSpec(width=4)},
        shard_rows=16,
        max_skipped=max_skipped,
    )


def test_ingest_stops_and_goes_on_without_reading_again(tmp_path: Path, done: list[int]) -> None:
    config, root = folder(tmp_path, 36, 4, 5), str(tmp_path / "set")
    with pytest.raises(SkippedError) as raised:
        ingest(config, SIZE, root)
    assert not has_manifest(root)
    told = "10% of the source can't be used, 4 of 40, and data.max_skipped allows 5%: 4 image does not decode (as "
    assert str(raised.value).startswith(told)
    assert f"listed in {storage.join(root, 'skipped.jsonl')}" in str(raised.value)
    assert "set data.max_skipped=10 to train on the rest" in str(raised.value)
    read, before = len(done), sorted((tmp_path / "set").glob("*.parquet"))
    assert read == 3
    manifest = ingest(config.model_copy(update={"max_skipped": 10}), SIZE, root)
    assert len(done) == read
    assert sorted((tmp_path / "set").glob("*.parquet")) == before
    assert manifest.num_rows == 36
    with pytest.raises(SkippedError, match=r"^10% of the source can't be used"):
        ingest(config, SIZE, root)  # the set is whole, and still not what the setting asks for


def test_mended_rows_are_read_anew(tmp_path: Path, done: list[int]) -> None:
    config, root = folder(tmp_path, 36, 4, 5), str(tmp_path / "set")
    with pytest.raises(SkippedError):
        ingest(config, SIZE, root)
    folder(tmp_path, 40, 0, 5)
    table = tmp_path / "labels.csv"
    table.write_text(table.read_text() + "\n")  # by which a table is seen to have changed
    assert ingest(config, SIZE, root).num_rows == 40


def test_too_much_that_the_listing_leaves_out_is_said_before_a_picture_is_read(tmp_path: Path, done: list[int]) -> None:
    config, table = folder(tmp_path, 30, 0, 20), tmp_path / "labels.csv"
    table.write_text(table.read_text() + "\n../secret.png,A,x" * 10)
    with pytest.raises(SkippedError, match=r"25% of the source .*10 path outside the folder \(as ../secret.png"):
        ingest(config, SIZE, str(tmp_path / "set"))
    assert not done


def test_reasons_come_by_their_number_with_the_first_examples(tmp_path: Path, done: list[int]) -> None:
    ingest(folder(tmp_path, 30, 2, 100, num_lost=7), SIZE, str(tmp_path / "set"))
    lost, damaged = read_reasons(str(tmp_path / "set"))
    assert (lost.reason, lost.count, len(lost.examples)) == ("missing file", 7, 5)
    assert damaged.count == 2


def test_just_the_share_that_is_allowed_passes(tmp_path: Path) -> None:
    require_few({"missing file": 5}, 95, 5, str(tmp_path))
    with pytest.raises(SkippedError):
        require_few({"missing file": 5}, 94, 5, str(tmp_path))
    require_few({"missing file": 5, NOT_A_PICTURE: 40}, 95, 5, str(tmp_path))


def test_the_ceiling_does_not_decide_what_is_trained() -> None:
    config = smoke_config()
    other = config.model_copy(update={"data": config.data.model_copy(update={"max_skipped": 50.0})})
    assert stage_fingerprint(config, "pretrain", "") == stage_fingerprint(other, "pretrain", "")
