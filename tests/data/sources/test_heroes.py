"""Heroes as a source: a sample of distinct combinations, the same wherever it is read, with true pictures."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from diffusegae.config.data import DataConfig
from diffusegae.data.ingest import ingest
from diffusegae.data.records import SourceError, SourceImage
from diffusegae.data.renderer import StoredRenderer, open_renderer
from diffusegae.data.shards import load_labels, read_manifest
from diffusegae.data.sources.heroes import HeroesConfig
from diffusegae.data.sources.sampled import SampledSource
from diffusegae.data.sources.source import Opening
from tests.data.heroes.art import write_art

SIZE = 32
ATTRIBUTES = ("body", "chest", "legs", "head", "main_hand", "off_hand", "direction", "ground")


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_art(tmp_path_factory.mktemp("fantasycore")))


def open_source(folder: str, **settings: object) -> SampledSource:
    config = HeroesConfig.model_validate({"folder": folder, "num_images": 400, **settings})
    return config.open(Opening(SIZE, (), 64, ""))


def images_of(source: SampledSource) -> list[SourceImage]:
    return [item for unit in range(source.num_units) for item in source.read(unit) if isinstance(item, SourceImage)]


def data_config(folder: str, attributes: Sequence[str] = ATTRIBUTES, **source: object) -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": {"kind": "heroes", "folder": folder, "num_images": 300, **source},
            "attributes": {name: {"width": 2} for name in attributes},
            "shard_rows": 64,
        }
    )


def renderer(data: DataConfig) -> StoredRenderer | None:
    return open_renderer(data, SIZE)


def test_no_two_images_show_the_same_combination_and_values_are_balanced(art: str) -> None:
    source = open_source(art)
    images = images_of(source)
    assert len(images) == len({image.key for image in images}) == 400
    assert len({tuple(image.labels.values()) for image in images}) == 400
    for column, values in source.vocabularies.items():
        counts = [sum(image.labels[column] == value for image in images) for value in values]
        assert 0.5 < min(counts) * len(values) / 400 <= max(counts) * len(values) / 400 < 1.5


def test_combinations_are_those_of_the_images(art: str) -> None:
    source = open_source(art)
    columns = ("ground", "body")
    found = source.combinations(columns)
    assert found.counts.sum() == 400
    own = [tuple(image.labels[column] for column in columns) for image in images_of(source)]
    rows = zip(*(np.array(found.vocabularies[name])[found.labels[name]].tolist() for name in columns), strict=True)
    assert {row: own.count(row) for row in own} == dict(zip(rows, found.counts.tolist(), strict=True))


def test_a_sample_is_by_seed_and_the_same_in_another_process(art: str) -> None:
    code = (
        "import hashlib, sys; from diffusegae.data.sources.heroes import HeroesConfig as C;"
        "from diffusegae.data.sources.source import Opening;"
        "source = C(folder=sys.argv[1], num_images=400).open(Opening(32, (), 64, ''));"
        "images = [image for unit in range(source.num_units) for image in source.read(unit)];"
        "print(hashlib.sha256(b''.join(i.key.encode() + i.content.tobytes() for i in images)).hexdigest())"
    )
    theirs = subprocess.run([sys.executable, "-c", code, art], check=True, capture_output=True, text=True).stdout
    content = b"".join(
        image.key.encode() + np.asarray(image.content).tobytes() for image in images_of(open_source(art))
    )
    assert theirs.strip() == hashlib.sha256(content).hexdigest()
    assert {image.key for image in images_of(open_source(art, seed=1))} != {i.key for i in images_of(open_source(art))}
    assert open_source(art).fingerprint == open_source(art).fingerprint != open_source(art, seed=1).fingerprint


def test_truths_are_new_pictures_of_the_same_labels(art: str) -> None:
    source, rendering = open_source(art), renderer(data_config(art))
    assert rendering is not None
    images = images_of(source)[:60]
    codes = {
        name: np.array([values.index(i.labels[name]) for i in images]) for name, values in source.vocabularies.items()
    }
    stored = np.stack([np.asarray(image.content) for image in images])
    assert np.array_equal(rendering.render(codes, [0] * 60), stored)
    other = rendering.render(codes, np.arange(1, 61))
    assert (other != stored).any(axis=(1, 2, 3)).all()
    assert np.array_equal(other, rendering.render(codes, np.arange(1, 61)))
    assert (rendering.render(codes, [1] * 60) != rendering.render(codes, [2] * 60)).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("left_out", ATTRIBUTES)
def test_labels_that_leave_something_open_have_no_renderer(art: str, left_out: str) -> None:
    assert renderer(data_config(art, [name for name in ATTRIBUTES if name != left_out])) is None


def test_a_column_of_one_value_leaves_nothing_open(art: str) -> None:
    attributes = [name for name in ATTRIBUTES if name not in ("direction", "body")]
    data = data_config(art, attributes, values={"direction": ["south"], "body": ["female"]})
    rendering = renderer(data)
    assert rendering is not None
    whole = renderer(data_config(art))
    assert whole is not None
    codes = {name: np.array([1]) for name in attributes}
    own = {"body": np.array([1]), "direction": np.array([6])}
    assert np.array_equal(rendering.render(codes, [3]), whole.render(codes | own, [3]))


def test_art_of_a_single_frame_has_nothing_to_draw_anew(tmp_path: Path) -> None:
    assert renderer(data_config(str(write_art(tmp_path, frames=1)))) is None


def test_missing_art_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"make heroes.*data\.source\.folder"):
        open_source(str(tmp_path))


def test_more_images_than_combinations_are_refused(art: str) -> None:
    with pytest.raises(SourceError, match="num_images is 5000, but there are 2048 combinations"):
        open_source(art, num_images=5000)


@pytest.mark.parametrize(
    ("values", "message"), [({"hat": ["a"]}, "one of: body, chest"), ({"head": []}, "at least one")]
)
def test_a_restriction_of_nothing_is_refused(values: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeroesConfig.model_validate({"values": values})


def test_a_tiny_set_is_ingested(art: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(units: Sequence[int], work: Callable[[int], int]) -> Iterator[int]:
        return map(work, units)

    monkeypatch.setattr("diffusegae.data.ingest.run_units", run)
    data = data_config(art)
    manifest = ingest(data, SIZE, str(tmp_path / "images"))
    assert (manifest.num_rows, sum(manifest.skipped.values())) == (300, 0)
    assert read_manifest(str(tmp_path / "images")) == manifest
    assert manifest.columns == open_source(art).vocabularies
    labels = load_labels(str(tmp_path / "images"), manifest)
    assert labels.columns.keys() == set(ATTRIBUTES)
    source = open_source(art, num_images=300)
    rows = set(zip(*(labels.columns[name].tolist() for name in ATTRIBUTES), strict=True))
    assert rows == {tuple(row) for row in source.labels.tolist()}
