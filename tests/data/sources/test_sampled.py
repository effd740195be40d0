"""Sources that sample a world: each combination once, and a column that is not given shows its first value."""

import numpy as np
import pytest

from diffusegae.data.glyphs import GLYPH_COLUMNS
from diffusegae.data.records import SourceError, SourceImage
from diffusegae.data.sources.glyphs import GlyphsConfig
from diffusegae.data.sources.sampled import SampledRenderer, SampledSource
from diffusegae.data.sources.source import Opening
from tests.data.test_combined import Painted


def test_each_combination_is_drawn_once_over_all_units() -> None:
    source = SampledSource(Painted(), num_images=5, seed=0, shard_rows=2)
    images = [item for unit in range(source.num_units) for item in source.read(unit) if isinstance(item, SourceImage)]
    assert source.num_units == 3
    assert len({image.key for image in images}) == len(images) == 5
    for image in images:
        level = ("low", "middle", "high").index(image.labels["level"] or "")
        hue = ("red", "green").index(image.labels["hue"] or "")
        assert np.asarray(image.content)[..., hue].min() == 80 * (1 + level)


def test_combinations_count_the_sample_by_columns() -> None:
    found = SampledSource(Painted(), 6, 0, 4).combinations(("level",))
    assert (found.vocabularies, found.counts.tolist()) == ({"level": ("low", "middle", "high")}, [2, 2, 2])


def test_a_renderer_takes_labels_by_name() -> None:
    pixels = SampledRenderer(Painted()).render({"level": np.array([2, 1])}, [0, 5])
    assert pixels[:, 0, 0].tolist() == [[240, 0, 0], [165, 0, 0]]


def test_glyphs_are_a_source_with_true_pictures_unless_labels_leave_something_open() -> None:
    config = GlyphsConfig(num_images=200)
    source = config.open(Opening(32, config.columns({}), 128, ""))
    labels = {name: source.labels[:, column] for column, name in enumerate(GLYPH_COLUMNS)}
    stored = {
        image.key: image.content for unit in range(2) for image in source.read(unit) if isinstance(image, SourceImage)
    }
    renderer = config.renderer(32, GLYPH_COLUMNS)
    assert renderer is not None
    pictures = renderer.render(labels, [0] * 200)
    keys = [source.world.key(row) for row in source.labels]
    assert all(np.array_equal(picture, stored[key]) for picture, key in zip(pictures, keys, strict=True))
    assert config.renderer(32, GLYPH_COLUMNS[:-1]) is None
    assert GlyphsConfig(jitter=0).renderer(32, GLYPH_COLUMNS) is None
    with pytest.raises(SourceError, match="num_images is 50000, but there are 39936 combinations"):
        GlyphsConfig(num_images=50_000).open(Opening(32, (), 128, ""))
