"""Ingest as a whole: every source and container, restarts, reports, and configs or files that cannot be used."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from diffusegae import storage
from diffusegae.config.data import DataConfig
from diffusegae.config.holdout import HoldoutConfig
from diffusegae.data.ingest import RecipeError, SourceChangedError, ingest
from diffusegae.data.records import HELD_OUT, IMAGE, KEY, SourceError
from diffusegae.data.shards import Manifest, load_labels, read_manifest, verify_shards, write_manifest
from diffusegae.data.sources.folder import FolderConfig
from diffusegae.data.sources.ilab import IlabConfig
from diffusegae.data.sources.source import plan_units
from diffusegae.data.sources.vehicles import VehiclesConfig
from diffusegae.data.splits import HoldoutError, Stratum, is_held_out
from diffusegae.data.vehicles import VehicleWorld
from diffusegae.images import Framing, decode_image
from diffusegae.schema import AttributeSpec, SchemaError, build_schema
from tests.image_files import ILAB_CATEGORIES, ilab_files, picture, write_tar, write_tree, write_zip
from tests.picture_files import FILES, HEIGHT
from tests.test_images import HEIC

SIZE = 32
VEHICLES = DataConfig(
    source=VehiclesConfig(num_kinds=3, num_instances=2, num_backgrounds=5, num_poses=4), shard_rows=20
)


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do the units in this process, in order: what Ray does is tested where it is used."""

    def run(units: Sequence[int], work: Callable[[int], int]) -> Iterator[int]:
        return map(work, units)

    monkeypatch.setattr("diffusegae.data.ingest.run_units", run)


def ilab_config(uri: str) -> DataConfig:
    return DataConfig(source=IlabConfig(uri=uri), shard_rows=16, max_skipped=100)


def folder_config(root: Path, text: str, *columns: str) -> DataConfig:
    (root / "labels.csv").write_text(text)
    return DataConfig(
        source=FolderConfig(images=str(root), table=str(root / "labels.csv")),
        attributes={column: AttributeSpec(width=4) for column in columns},
        shard_rows=4,
        max_skipped=100,
    )


def read_rows(root: str, manifest: Manifest) -> dict[str, dict[str, object]]:
    """Read all rows by key, with their labels' values in place of numbers, None for a missing one."""
    rows: dict[str, dict[str, object]] = {}
    for shard in manifest.shards:
        filesystem, path = storage.locate(storage.join(root, shard.path))
        for row in pq.ParquetFile(path, filesystem=filesystem).read().to_pylist():
            assert row[KEY] not in rows
            rows[row[KEY]] = row | {name: (*values, None)[row[name]] for name, values in manifest.columns.items()}
    return rows


def reported(root: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in storage.read_bytes(storage.join(root, "skipped.jsonl")).splitlines()]


@pytest.mark.ray
def test_vehicles_are_rendered_whole_and_true_on_ray(ray_cluster: None, tmp_path: Path) -> None:
    root = str(tmp_path / "set")
    manifest = ingest(VEHICLES, SIZE, root)
    assert manifest.num_rows == 3 * 2 * 5 * 4
    assert read_manifest(root) == manifest
    verify_shards(root, manifest)
    world = VehicleWorld(3, 2, 5, 4, size=SIZE)
    rows = read_rows(root, manifest)
    assert len(rows) == manifest.num_rows
    row = rows[f"{world.instance_name(1, 1)}-{world.background_name(3)}-{world.pose_name(2)}"]
    assert row["category"] == world.kind_name(1)
    image = row[IMAGE]
    assert isinstance(image, bytes)
    assert np.array_equal(decode_image(image), world.render(1, 1, 3, 2))
    assert sorted(os.listdir(root)) == [
        "findings.json", *sorted(shard.path for shard in manifest.shards), "manifest.json", "skipped.jsonl",
        "thumbnails.png",
    ]  # fmt: skip
    assert decode_image(storage.read_bytes(storage.join(root, "thumbnails.png"))).shape[1] > 3 * 64


def test_kill_9_in_the_middle_loses_and_doubles_nothing(inline: None, tmp_path: Path) -> None:
    root = tmp_path / "set"
    vehicles = VehiclesConfig(num_kinds=3, num_instances=2, num_backgrounds=50, num_poses=6)
    config = DataConfig(source=vehicles, shard_rows=50)
    finished = kill_after_units(3, config, root)
    assert not (root / "manifest.json").exists()
    assert 3 <= len(finished) < 36
    manifest = ingest(config, SIZE, str(root))
    assert manifest.num_rows == len(read_rows(str(root), manifest)) == 3 * 2 * 50 * 6
    verify_shards(str(root), manifest)
    for record, time_ns in finished.items():
        assert (root / f"images-{Path(record).stem}.parquet").stat().st_mtime_ns <= time_ns
    assert not (root / "_ingest").exists()
    assert not list(root.glob(".*"))


def kill_after_units(count: int, config: DataConfig, root: Path) -> dict[str, int]:
    """Start an ingest, kill it with -9 once some units are done; return their records and when they were written."""
    program = str(Path(__file__).with_name("ingest_once.py"))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, program, config.model_dump_json(), str(SIZE), str(root)]
    records = root / "_ingest" / "units"
    with subprocess.Popen(command, env=environment) as process:
        try:
            deadline = time.monotonic() + 300
            while process.poll() is None and time.monotonic() < deadline and len(list(records.glob("*.json"))) < count:
                time.sleep(0.005)
        finally:
            process.send_signal(signal.SIGKILL)
    return {path.name: path.stat().st_mtime_ns for path in records.glob("*.json")}


def test_interrupted_units_are_done_again_and_others_are_not(
    inline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path / "set")
    whole = ingest(VEHICLES, SIZE, str(tmp_path / "whole"))
    write, written = storage.write_bytes, []

    def fail_late(uri: str, data: bytes) -> None:
        written.append(uri)
        # The third shard is there, its record is not: the worst moment.
        if uri.endswith("00002.json"):
            raise KeyboardInterrupt
        write(uri, data)

    monkeypatch.setattr(storage, "write_bytes", fail_late)
    with pytest.raises(KeyboardInterrupt):
        ingest(VEHICLES, SIZE, root)

    def note(uri: str, data: bytes) -> None:
        written.append(uri)
        write(uri, data)

    monkeypatch.setattr(storage, "write_bytes", note)
    written.clear()
    manifest = ingest(VEHICLES, SIZE, root)
    shards = [uri.rpartition("/")[2] for uri in written if uri.endswith(".parquet")]
    assert shards == [shard.path for shard in manifest.shards[2:]]
    assert manifest == whole


@pytest.mark.parametrize(("name", "write"), [("tree", write_tree), ("set.zip", write_zip), ("set.tar", write_tar)])
def test_ilab_is_the_same_set_from_every_container(
    name: str, write: Callable[[Path, Mapping[str, bytes]], str], inline: None, tmp_path: Path
) -> None:
    files = ilab_files()
    root = str(tmp_path / "set")
    manifest = ingest(ilab_config(write(tmp_path / name, files)), SIZE, root)
    assert manifest.num_rows == len(files)
    assert manifest.columns["category"] == tuple(sorted(ILAB_CATEGORIES))
    assert manifest.columns["pose"] == ("c00_r01", "c00_r02")
    assert len(manifest.columns["instance"]) == 6
    rows = read_rows(root, manifest)
    for path, content in files.items():
        row = rows[Path(path).stem]
        assert row["instance"] == "-".join(Path(path).stem.split("-")[:2])
        image = row[IMAGE]
        assert isinstance(image, bytes)
        assert np.array_equal(decode_image(image), decode_image(content, SIZE))


def test_ilab_goes_from_bucket_to_bucket(inline: None, tmp_path: Path, s3_root: str) -> None:
    archive = Path(write_tar(tmp_path / "set.tar", files := ilab_files()))
    storage.write_bytes(storage.join(s3_root, "set.tar"), archive.read_bytes())
    root = storage.join(s3_root, "shards")
    manifest = ingest(ilab_config(storage.join(s3_root, "set.tar")), SIZE, root)
    assert len(read_rows(root, manifest)) == len(files)
    assert len(load_labels(root, manifest)) == len(files)
    verify_shards(root, manifest)
    names = sorted(storage.iterate_files(root))
    shards = [shard.path for shard in manifest.shards]
    assert names == ["findings.json", *shards, "manifest.json", "skipped.jsonl", "thumbnails.png"]


def test_split_and_counts_follow_from_the_rows(inline: None, tmp_path: Path) -> None:
    manifest = ingest(VEHICLES, SIZE, str(tmp_path))
    rows = read_rows(str(tmp_path), manifest)
    keys = list(rows)
    assert [row[HELD_OUT] for row in rows.values()] == is_held_out(keys, 20).tolist()
    assert manifest.num_held_out == sum(bool(row[HELD_OUT]) for row in rows.values()) > 0
    for name, values in manifest.columns.items():
        found = [row[name] for row in rows.values()]
        assert manifest.value_counts[name] == tuple(found.count(value) for value in values)


THREE_KINDS = HoldoutConfig.model_validate(
    {"images": 20, "pairs": {"attributes": ["background", "pose"], "percent": 10}, "values": {"identity": 20}}
)


def test_pairs_and_values_are_held_out_and_counted(inline: None, tmp_path: Path) -> None:
    manifest = ingest(VEHICLES.model_copy(update={"holdout": THREE_KINDS}), SIZE, str(tmp_path))
    (pairs,), (instance,) = manifest.holdout.pairs, manifest.holdout.values["instance"]
    assert (pairs.columns, len(pairs.values)) == (("background", "pose"), 2)
    held = [0] * len(Stratum)
    rows = read_rows(str(tmp_path), manifest)
    for key, row in rows.items():
        is_pair = (row["background"], row["pose"]) in pairs.values
        stratum = Stratum.UNSEEN_INSTANCE if row["instance"] == instance else Stratum(int(is_pair))
        assert row[HELD_OUT] == (bool(is_held_out([key], 20)[0]) or stratum != Stratum.SEEN)
        held[stratum] += bool(row[HELD_OUT])
    assert manifest.held_counts == tuple(held)
    assert min(held) > 0
    assert sum(held) == manifest.num_held_out
    for name, values in manifest.columns.items():
        found = [row[name] for row in rows.values() if not row[HELD_OUT]]
        assert manifest.train_counts[name] == tuple(found.count(value) for value in values)
    instances = np.array(manifest.columns["instance"])
    assert instances[~manifest.known("instance")].tolist() == [instance]


def _write_table(root: Path, order: int) -> DataConfig:
    lines = [f"{number}.png,{'ABCD'[number % 4]},{number // 4 % 6},p{number % 12}" for number in range(96)]
    root.mkdir()
    write_tree(root, {f"{number}.png": picture(number) for number in range(96)})
    config = folder_config(root, "\n".join(["path,letter,font,writer", *lines[::order]]), "letter", "font")
    attributes = config.attributes | {"letter": AttributeSpec(column="letter", group_column="writer", width=4)}
    holdout = HoldoutConfig.model_validate(
        {"pairs": {"attributes": ["letter", "font"], "percent": 10}, "values": {"letter": 10}}
    )
    return config.model_copy(update={"attributes": attributes, "holdout": holdout})


def test_the_same_rows_are_held_out_in_any_order_and_any_shards(inline: None, tmp_path: Path) -> None:
    held = []
    for name, order, shard_rows in (("some", 1, 32), ("other", -1, 80)):
        config = _write_table(tmp_path / name, order).model_copy(update={"shard_rows": shard_rows})
        manifest = ingest(config, SIZE, str(tmp_path / f"{name}-set"))
        rows = read_rows(str(tmp_path / f"{name}-set"), manifest)
        held.append((manifest.holdout, manifest.held_counts, {key for key, row in rows.items() if row[HELD_OUT]}))
    assert held[0] == held[1]
    assert min(held[0][1]) > 0


@pytest.mark.parametrize(
    ("holdout", "message"),
    [
        ({"values": {"identity": ["tank-i0000", "submarine"]}}, "names 'submarine', which the data do not have"),
        ({"values": {"identity": ["tank-i0000", "tank-i0001"]}}, r"'category': 'tank' \(40 images, all held out\)"),
        ({"pairs": {"attributes": ["background", "pose"], "percent": 80}}, "no training image is left of"),
    ],
)
def test_a_holdout_that_can_not_be_is_refused_before_any_image_is_made(
    holdout: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffusegae.data.ingest.run_units", None)
    kinds = {"kind": "vehicles", "num_kinds": 7, "num_instances": 2, "num_backgrounds": 5, "num_poses": 4}
    config = DataConfig.model_validate({"source": kinds, "holdout": holdout})
    with pytest.raises(HoldoutError, match=message):
        ingest(config, SIZE, str(tmp_path))


def test_a_value_that_the_hash_of_keys_takes_whole_is_refused(inline: None, tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(40)]
    is_held = is_held_out(names, 20).tolist()
    held, kept = names[is_held.index(True)], [name for name, out in zip(names, is_held, strict=True) if not out][:4]
    write_tree(tmp_path, {name: picture(number) for number, name in enumerate([held, *kept])})
    lines = [f"{name},{letter},{size}" for name, letter, size in zip([held, *kept], "CAABB", "12112", strict=True)]
    config = folder_config(tmp_path, "\n".join(["path,letter,size", *lines]), "letter", "size")
    with pytest.raises(HoldoutError, match=r"column 'letter': 'C' \(1 images, all held out\).*or add images"):
        ingest(config, SIZE, str(tmp_path / "set"))


def test_another_holdout_at_the_same_address_is_an_error(inline: None, tmp_path: Path) -> None:
    config = VEHICLES.model_copy(update={"holdout": THREE_KINDS})
    ingest(config, SIZE, str(tmp_path))
    with pytest.raises(RecipeError, match="'percent': 10.* instead of .*'pairs': None"):
        ingest(VEHICLES, SIZE, str(tmp_path))
    # The same words mean other images where an attribute reads other columns.
    by_kind = config.attributes | {"identity": AttributeSpec(column="category", width=60)}
    with pytest.raises(RecipeError, match=r"\['category', 'instance'\].* instead of .*\['category', 'category'\]"):
        ingest(config.model_copy(update={"attributes": by_kind}), SIZE, str(tmp_path))


def test_a_shard_holds_varied_labels(inline: None, tmp_path: Path) -> None:
    manifest = ingest(VEHICLES, SIZE, str(tmp_path))
    labels = load_labels(str(tmp_path), manifest)
    for shard in range(len(manifest.shards)):
        inside = labels.shard == shard
        for column in ("category", "pose"):
            assert len(np.unique(labels.columns[column][inside])) > 1


@pytest.mark.parametrize(("num_pieces", "pieces_per_unit"), [(1, 16), (16, 16), (17, 16), (86_000, 16), (7, 1)])
def test_units_deal_out_every_piece_once(num_pieces: int, pieces_per_unit: int) -> None:
    units = plan_units(num_pieces, pieces_per_unit)
    assert np.array_equal(np.sort(np.concatenate(units)), np.arange(num_pieces))
    sizes = {len(unit) for unit in units}
    assert max(sizes) <= pieces_per_unit
    assert max(sizes) - min(sizes) <= 1


def test_bad_files_are_skipped_and_reported(inline: None, tmp_path: Path) -> None:
    files = ilab_files()
    names = list(files)
    files[names[0]] = b"no picture"
    files[names[1]] = files[names[1]][: len(files[names[1]]) // 2]
    files[f"test_img_c00_10class/c00_r01/{Path(names[2]).name}"] = files[names[2]]
    files["train_img_c00_10class/labels.txt"] = b"text"
    root = str(tmp_path / "set")
    manifest = ingest(ilab_config(write_tree(tmp_path / "tree", files)), SIZE, root)
    assert manifest.skipped == {"name of another layout": 1, "repeated key": 1, "image does not decode": 2}
    assert manifest.num_rows == len(files) - 4
    by_reason = {(entry["reason"], Path(entry["path"]).name) for entry in reported(root)}
    assert by_reason == {
        ("name of another layout", "labels.txt"),
        ("repeated key", Path(names[2]).name),
        ("image does not decode", Path(names[0]).name),
        ("image does not decode", Path(names[1]).name),
    }


def test_a_folder_with_a_table_becomes_a_set(inline: None, tmp_path: Path) -> None:
    lines = ["path,letter,size,slant"]
    for number in range(12):
        name = f"sub/{number}.png"
        write_tree(tmp_path, {name: picture(number)})
        lines.append(f"{name},{'AB'[number % 2]},{[9, 10, 100][number % 3]},{0.5 * (number % 2)}")
    lines += ["sub/none.png,A,9,0.5", ",A,9,0.5"]
    config = folder_config(tmp_path, "\n".join(lines), "letter", "size", "slant")
    manifest = ingest(config, SIZE, str(tmp_path / "set"))
    assert manifest.num_rows == 12
    assert manifest.columns == {"letter": ("A", "B"), "size": ("9", "10", "100"), "slant": ("0.0", "0.5")}
    assert manifest.skipped == {"row without a path": 1, "missing file": 1}
    assert read_rows(str(tmp_path / "set"), manifest)["sub/4.png"]["size"] == "10"


def test_images_that_lack_labels_are_kept_and_those_that_may_show_what_is_held_out_do_not_train(
    inline: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["path,letter,size"]
    for number in range(48):
        write_tree(tmp_path, {f"{number}.png": picture(number)})
        letter, size = "ABCD"[number % 4], [9, 10, 100][number // 4 % 3]
        lines.append(f"{number}.png,{'' if number % 8 == 1 else letter},{'' if number % 8 == 3 else size}")
    lines[-1] = "47.png,,"
    config = folder_config(tmp_path, "\n".join(lines), "letter", "size")
    manifest = ingest(config, SIZE, str(tmp_path / "set"))
    rows = read_rows(str(tmp_path / "set"), manifest)
    assert manifest.num_rows == len(rows) == 48
    assert manifest.value_counts == {"letter": (12, 6, 12, 11), "size": (14, 14, 13)}
    assert (rows["1.png"]["letter"], rows["3.png"]["size"], rows["47.png"]["letter"]) == (None, None, None)
    assert "images without a label: letter 7, size 7 of 48" in caplog.text
    lacking = {name for name, row in rows.items() if row["letter"] is None or row["size"] is None}
    assert {rows[name][HELD_OUT] for name in lacking} == {True, False}  # by their key alone
    assert sum(manifest.held_counts) == sum(bool(row[HELD_OUT]) for name, row in rows.items() if name not in lacking)

    holdout = HoldoutConfig(images=0, values={"letter": ("D",)})
    held = ingest(config.model_copy(update={"holdout": holdout}), SIZE, str(tmp_path / "held"))
    rows = read_rows(str(tmp_path / "held"), held)
    out = {name for name, row in rows.items() if row[HELD_OUT]}
    assert out == {name for name, row in rows.items() if row["letter"] in ("D", None)}  # it may be a D
    assert held.held_counts == (0, 0, sum(row["letter"] == "D" and row["size"] is not None for row in rows.values()))


def test_numbers_are_cut_into_classes_if_that_is_asked(inline: None, tmp_path: Path) -> None:
    lines = ["path,letter,age"]
    for number in range(40):
        write_tree(tmp_path, {f"{number}.png": picture(number)})
        lines.append(f"{number}.png,{'AB'[number % 2]},{'' if number == 7 else number * 1.5}")
    config = folder_config(tmp_path, "\n".join(lines), "letter", "age")
    cut = {**config.attributes, "age": AttributeSpec(width=4, bins=4)}
    config = config.model_copy(update={"attributes": cut})
    manifest = ingest(config, SIZE, str(tmp_path / "set"))
    assert manifest.columns["age"] == ("up to 15.75", "15.75 to 30", "30 to 44.25", "over 44.25")
    assert manifest.value_counts["age"] == (10, 10, 9, 10)
    rows = read_rows(str(tmp_path / "set"), manifest)
    assert [rows[f"{number}.png"]["age"] for number in (0, 7, 39)] == ["up to 15.75", None, "over 44.25"]
    with pytest.raises(RecipeError, match="bins"):
        ingest(folder_config(tmp_path, "\n".join(lines), "letter", "age"), SIZE, str(tmp_path / "set"))


def test_pictures_as_people_have_them_become_a_set(
    inline: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {f"ä ö%20é {file.name}.{'xX'[number % 2]}": file for number, file in enumerate(FILES)}
    write_tree(tmp_path / "in", {name: file.data for name, file in files.items()} | {"my.heic": HEIC})
    lines = [f'"{name}",{"ABC"[number % 3]},{number % 2}' for number, name in enumerate([*files, "my.heic"])]
    config = folder_config(tmp_path / "in", "\n".join(["path,letter,size", *lines]), "letter", "size")
    for resize, size in (("crop", HEIGHT), ("pad", 2 * HEIGHT)):
        root = str(tmp_path / resize)
        manifest = ingest(config.model_copy(update={"resize": resize, "background": "navy"}), size, root)
        assert manifest.skipped == {"format not read: HEIC": 1}
        assert (manifest.recipe.framing, manifest.num_rows) == (Framing(resize, "navy"), len(files))
        rows = read_rows(root, manifest)
        assert set(rows) == set(files)
        for name, file in files.items():
            image = rows[name][IMAGE]
            assert isinstance(image, bytes)
            assert np.array_equal(decode_image(image), decode_image(file.data, size, Framing(resize, "navy")))
    enlarged = f"{len(files)} of {len(files)} pictures are smaller than image_size 32 and were enlarged"
    assert caplog.messages.count(enlarged) == 1
    with pytest.raises(RecipeError, match="resize 'pad' instead of 'crop'; background 'navy' instead of 'white'"):
        ingest(config, 2 * HEIGHT, str(tmp_path / "pad"))


def test_a_manifest_of_before_framing_is_read(inline: None, tmp_path: Path) -> None:
    manifest = ingest(VEHICLES, SIZE, str(tmp_path))
    content = manifest.model_dump(mode="json")
    del content["recipe"]["resize"], content["recipe"]["background"]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert read_manifest(str(tmp_path)) == manifest


def test_a_finished_set_is_returned_at_once(inline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = ingest(VEHICLES, SIZE, str(tmp_path))
    monkeypatch.setattr("diffusegae.data.sources.vehicles.VehiclesConfig.open", None)
    wider = VEHICLES.model_copy(update={"window_rows": 7})
    assert ingest(wider, SIZE, str(tmp_path)) == manifest


def test_another_config_at_the_same_address_is_an_error(inline: None, tmp_path: Path) -> None:
    ingest(VEHICLES, SIZE, str(tmp_path))
    with pytest.raises(RecipeError, match="image_size 32 instead of 64"):
        ingest(VEHICLES, 64, str(tmp_path))


def test_another_config_over_an_unfinished_set_is_an_error(
    inline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(units: Sequence[int], work: Callable[[int], int]) -> Iterator[int]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("diffusegae.data.ingest.run_units", stop)
        with pytest.raises(KeyboardInterrupt):
            ingest(VEHICLES, SIZE, str(tmp_path))
    with pytest.raises(RecipeError, match="encoding 'png' instead of 'webp'"):
        ingest(VEHICLES.model_copy(update={"encoding": "webp"}), SIZE, str(tmp_path))


def test_jpeg_and_webp_are_stored_near_the_original(inline: None, tmp_path: Path) -> None:
    world = VehicleWorld(3, 2, 5, 4, size=SIZE)
    for encoding in ("jpeg", "webp"):
        config = VEHICLES.model_copy(update={"encoding": encoding, "quality": 95})
        manifest = ingest(config, SIZE, str(tmp_path / encoding))
        image = read_rows(str(tmp_path / encoding), manifest)[f"{world.instance_name(0, 0)}-b0000-{world.pose_name(0)}"]
        assert isinstance(image[IMAGE], bytes)
        difference = decode_image(image[IMAGE]).astype(int) - world.render(0, 0, 0, 0)
        assert 0 < np.abs(difference).mean() < 12


def test_attribute_with_one_value_is_named_before_any_image_is_read(tmp_path: Path) -> None:
    config = folder_config(tmp_path, "path,letter,size\na.png,A,1\nb.png,A,2\n", "letter", "size")
    with pytest.raises(ValueError, match=r"column 'letter' has 1 value\(s\) \['A'\]"):
        ingest(config, SIZE, str(tmp_path / "set"))


def test_attribute_left_with_one_readable_value_is_named(inline: None, tmp_path: Path) -> None:
    write_tree(tmp_path, {"a.png": picture(1), "b.png": b"no picture", "c.png": picture(2)})
    text = "path,letter,size\na.png,A,1\nb.png,B,2\nc.png,A,2\n"
    with pytest.raises(SchemaError, match=r"'letter' all readable images have one value; the images of \['B'\]"):
        ingest(folder_config(tmp_path, text, "letter", "size"), SIZE, str(tmp_path / "set"))


def test_a_set_without_a_readable_image_is_named(inline: None, tmp_path: Path) -> None:
    text = "path,letter,size\na.png,A,1\nb.png,B,2\n"
    with pytest.raises(SourceError, match=r"no image could be used: \{'missing file': 2\}; the first: a\.png"):
        ingest(folder_config(tmp_path, text, "letter", "size"), SIZE, str(tmp_path / "set"))


def test_unknown_column_and_missing_source_are_named(tmp_path: Path) -> None:
    vehicles = VEHICLES.model_copy(update={"attributes": {"a": AttributeSpec(width=1, column="colour")}})
    with pytest.raises(SchemaError, match="'colour', which the data does not have"):
        ingest(vehicles, SIZE, str(tmp_path / "1"))
    with pytest.raises(SourceError, match="nothing is there"):
        ingest(ilab_config(str(tmp_path / "nowhere")), SIZE, str(tmp_path / "2"))


def labelled(root: Path, letters: str) -> DataConfig:
    """Write as many pictures as letters, and their table."""
    write_tree(root, {f"{number}.png": picture(number) for number in range(len(letters))})
    lines = [f"{number}.png,{letter},{number % 2}" for number, letter in enumerate(letters)]
    return folder_config(root, "\n".join(["path,letter,size", *lines]), "letter", "size")


def test_a_source_that_has_changed_is_told_and_taken_in_by_refresh(inline: None, tmp_path: Path) -> None:
    root = str(tmp_path / "set")
    before = ingest(labelled(tmp_path / "images", "AABB" * 10), SIZE, root)
    assert ingest(labelled(tmp_path / "images", "AABB" * 10), SIZE, root) == before
    config = labelled(tmp_path / "images", "ABBC" * 2)
    with pytest.raises(SourceChangedError, match=r"has changed since .* by --refresh of jobs/ingest"):
        ingest(config, SIZE, root)
    assert read_manifest(root) == before
    after = ingest(config, SIZE, root, refresh=True)
    assert (after.columns["letter"], after.num_rows) == (("A", "B", "C"), 8)
    assert after.content != before.content
    assert len(read_rows(root, after)) == 8
    shards = [path for path in storage.iterate_files(root) if path.endswith(".parquet")]
    assert sorted(shards) == [shard.path for shard in after.shards]  # none of the larger set before
    assert ingest(config, SIZE, root) == after


def test_a_refresh_of_what_has_not_changed_makes_the_same_set(inline: None, tmp_path: Path) -> None:
    config = labelled(tmp_path / "images", "ABBC" * 2)
    before = ingest(config, SIZE, str(tmp_path / "set"))
    assert ingest(config, SIZE, str(tmp_path / "set"), refresh=True) == before


def test_a_set_outlives_its_source(inline: None, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    config = ilab_config(write_zip(tmp_path / "set.zip", ilab_files()))
    manifest = ingest(config, SIZE, str(tmp_path / "set"))
    (tmp_path / "set.zip").unlink()
    assert ingest(config, SIZE, str(tmp_path / "set")) == manifest
    assert "its source can't be read any more" in caplog.text
    with pytest.raises(SourceError, match="nothing is there"):
        ingest(config, SIZE, str(tmp_path / "set"), refresh=True)
    assert read_manifest(str(tmp_path / "set")) == manifest


def test_a_set_of_an_older_version_is_used_with_a_warning(
    inline: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = labelled(tmp_path / "images", "ABBC" * 2)
    root = str(tmp_path / "set")
    older = ingest(config, SIZE, root).model_copy(update={"source_state": "", "content": ""})
    assert "content" not in json.loads(older.model_dump_json())  # as it was written, so what hashes it finds the same
    write_manifest(root, older)
    assert ingest(config, SIZE, root) == older
    assert "whether its source has changed since isn't known" in caplog.text


def test_a_table_that_is_corrected_after_an_interruption_is_read_again(
    inline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path / "set")
    with monkeypatch.context() as patch:
        patch.setattr("diffusegae.data.ingest._finish", None)
        with pytest.raises(TypeError):
            ingest(labelled(tmp_path / "images", "AABBAABB" * 2), SIZE, root)
    manifest = ingest(labelled(tmp_path / "images", "ABBC" * 2), SIZE, root)
    assert (manifest.num_rows, manifest.columns["letter"]) == (8, ("A", "B", "C"))
    verify_shards(root, manifest)


def test_rows_that_name_no_picture_do_not_end_the_ingest(inline: None, tmp_path: Path) -> None:
    config = labelled(tmp_path / "images", "ABBC" * 2)
    (tmp_path / "images" / "loop").symlink_to("loop")
    (tmp_path / "images" / "folder").mkdir()
    bad = ["folder", ".", "loop", "x" * 300, "a\0b.png", "../labels.csv", "./0.png"]
    with (tmp_path / "images" / "labels.csv").open("a") as table:
        table.write("\n" + "\n".join(f"{path},A,1" for path in bad))
    manifest = ingest(config, SIZE, str(tmp_path / "set"))
    assert manifest.num_rows == 8
    assert manifest.skipped == {"unreadable file": 5, "path outside the folder": 1, "repeated key": 1}


def test_labels_may_be_called_as_rows_call_their_own(inline: None, tmp_path: Path) -> None:
    write_tree(tmp_path, {f"{number}.png": picture(number) for number in range(12)})
    lines = [f"{number}.png,{'AB'[number % 2]},{number % 3}" for number in range(12)]
    config = folder_config(tmp_path, "\n".join(["path,image,key", *lines]), "image", "key")
    manifest = ingest(config, SIZE, str(tmp_path / "set"))
    assert manifest.columns == {"label:image": ("A", "B"), "label:key": ("0", "1", "2")}
    row = read_rows(str(tmp_path / "set"), manifest)["7.png"]
    assert (row["label:image"], row["label:key"], isinstance(row[IMAGE], bytes)) == ("B", "1", True)
    assert build_schema(config.attributes, manifest.columns).names == ("image", "key")


@pytest.mark.parametrize(("name", "write"), [("set.zip", write_zip), ("set.tar", write_tar)])
def test_a_table_with_an_archive_of_images_becomes_a_set(
    name: str, write: Callable[[Path, Mapping[str, bytes]], str], inline: None, tmp_path: Path
) -> None:
    loose = labelled(tmp_path / "images", "ABBC" * 2)
    assert isinstance(loose.source, FolderConfig)
    archive = write(tmp_path / name, {f"{number}.png": picture(number) for number in range(8)})
    packed = loose.model_copy(update={"source": loose.source.model_copy(update={"images": archive})})
    one, other = ingest(loose, SIZE, str(tmp_path / "a")), ingest(packed, SIZE, str(tmp_path / "b"))
    assert one.content == other.content
