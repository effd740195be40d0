"""Detection: which source files are, by their names and contents alone."""

import json
from pathlib import Path

import pytest

from diffusegae.data.records import SourceError
from diffusegae.survey.detect import detect, guess_path_column, tabulate_folders
from tests.image_files import ilab_files, picture, write_tar, write_tree, write_zip
from tests.survey.letters import write_letters


def kind_of(address: Path | str, table: str = "") -> tuple[str, str]:
    """Return the kind that is detected and the address that it has."""
    source = detect(str(address), table)
    assert source is not None
    settings = source.model_dump()
    return source.kind, settings.get("uri", settings.get("images"))


def test_a_table_makes_it_a_folder_whatever_lies_there(tmp_path: Path) -> None:
    images, table = write_letters(tmp_path, 12)
    source = detect(images, table)
    assert source is not None
    assert source.model_dump() == {"kind": "folder", "images": images, "table": table, "path_column": "file"}


def test_a_table_beside_the_pictures_is_found(tmp_path: Path) -> None:
    images, table = write_letters(tmp_path, 12)
    Path(table).rename(Path(images) / "labels.csv")
    source = detect(images)
    assert source is not None
    assert source.model_dump()["table"] == f"{images}/labels.csv"


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("letter,where\nA,0001.png\n", "where"),
        ("image_id,letter\nnone,A\n", "image_id"),
        ("\n".join(["letter,a.png", "B.png,1"]), "letter"),
    ],
)
def test_the_column_of_paths_is_told_by_its_values_then_by_its_name(text: str, column: str, tmp_path: Path) -> None:
    images, table = write_letters(tmp_path, 3)
    Path(table).write_text(text)
    assert guess_path_column(images, table) == column


def test_a_table_without_paths_is_named(tmp_path: Path) -> None:
    images, table = write_letters(tmp_path, 3)
    Path(table).write_text("letter,ink\nA,red\n")
    with pytest.raises(SourceError, match="no column names picture files; its columns are: letter, ink.*--path-column"):
        detect(images, table)


def test_the_fields_sets_are_told_by_their_files(tmp_path: Path) -> None:
    for number, name in enumerate(["dsprites_x.npz", "mpi3d_toy.npz", "3dshapes.h5", "train.parquet"]):
        (tmp_path / name).write_bytes(b"")
        expected = ["dsprites", "mpi3d", "shapes3d", "huggingface"][number]
        assert kind_of(tmp_path / name) == (expected, str(tmp_path / name))
    folders = {
        "norb": ("smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat", "smallnorb"),
        "cars": ("a/car_001_mesh.mat", "cars3d"),
        "faces": ("list_attr_celeba.txt", "celeba"),
        "hub": ("train/metadata.jsonl", "huggingface"),
        "pq": ("data/train-0.parquet", "huggingface"),
    }
    for folder, (name, kind) in folders.items():
        write_tree(tmp_path / folder, {name: b"", "x/0.png": picture(0)})
        assert kind_of(tmp_path / folder)[0] == kind
    write_tree(tmp_path / "faces", {"identity_CelebA.txt": b""})
    source = detect(str(tmp_path / "faces"))
    assert source is not None
    assert source.model_dump() == {
        "kind": "celeba",
        "images": f"{tmp_path}/faces/img_align_celeba",
        "table": f"{tmp_path}/faces/list_attr_celeba.txt",
        "identities": f"{tmp_path}/faces/identity_CelebA.txt",
    }


def test_archives_and_folders_of_them_are_told_by_their_members(tmp_path: Path) -> None:
    ilab = ilab_files()
    assert kind_of(write_tree(tmp_path / "tree", ilab))[0] == "ilab"
    assert kind_of(write_zip(tmp_path / "a.zip", ilab))[0] == "ilab"
    (tmp_path / "many").mkdir()
    write_tar(tmp_path / "many" / "car.tar", ilab)
    assert kind_of(tmp_path / "many") == ("ilab", str(tmp_path / "many"))
    sample = {"0.png": picture(0), "0.json": json.dumps({"a": 1}).encode()}
    (tmp_path / "web").mkdir()
    write_tar(tmp_path / "web" / "0.tar", sample)
    assert kind_of(tmp_path / "web") == ("webdataset", str(tmp_path / "web"))
    assert kind_of(tmp_path / "web" / "0.tar") == ("webdataset", str(tmp_path / "web" / "0.tar"))


def test_plain_folders_are_none_of_these_and_become_a_table(tmp_path: Path) -> None:
    files = {f"{shape}/{ink}/{n}.png": picture(n) for shape in ("ring", "bar") for ink in ("red", "blue")
             for n in range(2)}  # fmt: skip
    root = write_tree(tmp_path / "tree", files | {"README.md": b"text"})
    assert detect(root) is None
    lines = tabulate_folders(root).decode().splitlines()
    assert lines[:2] == ["path,level_1,level_2", "bar/blue/0.png,bar,blue"]
    assert len(lines) == 9


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": b"", "b.png": b""}, "2 pictures, and no folders"),
        ({"notes.txt": b""}, "0 pictures, and no folders"),
        ({"a/b.png": b"", "a/c/d.png": b""}, r"pictures lie \[1, 2\] folders deep; expected all at one depth"),
    ],
)
def test_folders_that_are_no_labels_are_named(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        tabulate_folders(write_tree(tmp_path, files))


def test_what_is_nothing_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing is there"):
        detect(str(tmp_path / "none"))
    path = write_zip(tmp_path / "a.zip", {"a.png": picture(0)})
    with pytest.raises(SourceError, match="not a file that tells its labels; give the table of labels"):
        detect(path)
