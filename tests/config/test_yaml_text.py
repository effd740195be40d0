"""YAML: what is no text, no mapping or said twice is one line that names its place."""

from pathlib import Path

import pytest

from diffusegae.config.base import ConfigError
from diffusegae.config.yaml_text import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"name: x\nseed: 1\nname: y\n",
            r"line 3, column 1: the key 'name' stands there twice, first in line 1; keep one",
        ),
        (b"a:\n  b: 1\n  b: 2\n", "line 3, column 3: the key 'b' stands there twice"),
        (b"data:\n  no: {width: 3}\n", "line 2, column 3: YAML does not read the key no as text; quote it: 'no'"),
        (b"on: 3\n", "line 1, column 1: YAML does not read the key on as text; quote it: 'on'"),
        (b"2: 3\n", "the key 2 as text"),
        (b"name: x\nnote: caf\xe9\n", r"line 2: not UTF-8 \(byte 0xe9\); save the file as UTF-8"),
        ("name: x\n".encode("utf-16-le"), "not valid YAML: .*save it as UTF-8 text"),
        (b"a: [1\nb: 2\n", "line 2, column 2: not valid YAML: "),
        (b"a: 2024-13-45\n", "not valid YAML: month must be in 1..12"),
        (b"- a\n", "expected a mapping of keys at the top, got list"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"mine\.yaml.*{message}") as caught:
        read_yaml(tmp_path / "mine.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marked_encodings_are_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes("name: é\r\n'no': 1\r\n".encode(encoding))
    assert read_yaml(tmp_path / "mine.yaml") == {"name": "é", "no": 1}


def test_keys_merged_from_an_anchor_may_be_said_again() -> None:
    assert parse_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n", "here")["b"] == {"x": 3, "y": 2}


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory; check the path"):
        read_yaml(tmp_path)
