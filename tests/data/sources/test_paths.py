"""Paths: which file each spelling means, and which lead out of the folder."""

import pyarrow as pa
import pytest

from diffusegae.data.sources.paths import composed, path_keys, relative_paths


@pytest.mark.parametrize(
    ("path", "relative", "key"),
    [
        ("a.png", "a.png", "a.png"),
        ("./a.png", "a.png", "a.png"),
        ("sub//b/../c.png", "sub/c.png", "sub/c.png"),
        ("/data/images/q.png", "q.png", "q.png"),
        ("sub\\c.png", "sub\\c.png", "sub/c.png"),
        ("e\u0301.png", "e\u0301.png", "\u00e9.png"),
        (" a.png", " a.png", " a.png"),
        ("..png", "..png", "..png"),
        ("12:30.png", "12:30.png", "12:30.png"),
        (".", ".", "."),
        ("../x.png", None, None),
        ("a/../../x.png", None, None),
        ("..\\x.png", "..\\x.png", None),
        ("/etc/passwd", None, None),
        ("/data/images/../x.png", None, None),
        ("s3://bucket/x.png", None, None),
        ("C:\\x.png", None, None),
        (None, None, None),
    ],
)
def test_a_path_means_a_file_below_the_folder(path: str | None, relative: str | None, key: str | None) -> None:
    places = relative_paths(pa.array(["plain.png", path], pa.string()), "/data/images")
    assert places.to_pylist() == ["plain.png", relative]
    assert path_keys(places).to_pylist() == ["plain.png", key]


def test_letters_are_composed() -> None:
    assert composed(pa.array(["e\u0301", None, "e", "\u00e9"])).to_pylist() == ["\u00e9", None, "e", "\u00e9"]
