"""The world of glyphs: every value is seen, what labels leave open is small, and a picture depends on nothing else."""

import numpy as np
import pytest
from jaxtyping import Integer

from diffusegae.data.glyphs import GlyphWorld
from diffusegae.data.glyphs.world import INKS, PAPERS, SIZES

WORLD = GlyphWorld(32)
SIZES_OF = [len(values) for values in WORLD.vocabularies.values()]


def some(count: int) -> Integer[np.ndarray, "n columns"]:
    return WORLD.labels(np.random.default_rng(0).choice(WORLD.num_combinations, count, replace=False))


def luminance(colour: tuple[float, float, float]) -> float:
    """Return WCAG's relative luminance of sRGB levels of 1."""
    linear = [level / 12.92 if level <= 0.03928 else ((level + 0.055) / 1.055) ** 2.4 for level in colour]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def test_pictures_depend_on_labels_and_draw_alone() -> None:
    labels = some(20)
    pictures = WORLD.render(labels, [0] * 20)
    assert np.array_equal(pictures[::-1], GlyphWorld(32).render(labels[::-1], [0] * 20))
    assert (WORLD.render(labels, [1] * 20) != pictures).any(axis=(1, 2, 3)).all()
    assert (GlyphWorld(32, seed=1).render(labels, [0] * 20) != pictures).any(axis=(1, 2, 3)).all()
    still = GlyphWorld(32, jitter=0.0)
    assert np.array_equal(still.render(labels, [0] * 20), still.render(labels, [1] * 20))


@pytest.mark.parametrize("column", [0, 1, 4], ids=["letter", "size", "style"])
def test_another_shape_differs_more_than_another_hand(column: int) -> None:
    """A picture's nearest neighbour by pixels among 24 hands of every value, all else equal, is of its own value."""
    count, hands = SIZES_OF[column], 24
    rows = np.tile(np.array([3, 2, 0, 0, 0]), (count * hands, 1))  # a large plain black D on white
    rows[:, column] = np.repeat(np.arange(count), hands)
    pictures = WORLD.render(rows, np.tile(np.arange(hands), count)).reshape(count, hands, -1).astype(np.float64)
    known, asked = (half.reshape(-1, 32 * 32 * 3) for half in np.split(pictures, 2, axis=1))
    nearest = (asked @ known.T - (known**2).sum(axis=1) / 2).argmax(axis=1) // (hands // 2)
    assert (nearest == np.repeat(np.arange(count), hands // 2)).mean() >= 0.99


def test_the_named_ink_and_paper_are_the_nearest_to_what_is_seen() -> None:
    labels = some(400)
    pictures = WORLD.render(labels, [0] * 400).reshape(400, -1, 3) / 255
    paper = pictures[:, 0]
    far = np.linalg.norm(pictures - paper[:, None], axis=-1).argsort(axis=1)[:, -8:]  # what a stroke covers wholly
    ink = np.median(np.take_along_axis(pictures, far[..., None], axis=1), axis=1)
    for seen, colours, column in ((ink, INKS, 2), (paper, PAPERS, 3)):
        distances = np.linalg.norm(seen[:, None] - np.array(list(colours.values())), axis=-1)
        assert (distances.argmin(axis=1) == labels[:, column]).mean() >= 0.99


def test_every_ink_is_read_on_every_paper() -> None:
    contrast = [
        (luminance(paper) + 0.05) / (luminance(ink) + 0.05) for ink in INKS.values() for paper in PAPERS.values()
    ]
    assert min(contrast) >= 3.0


@pytest.mark.parametrize("size", [32, 64])
def test_a_letter_is_as_high_as_its_size_and_stands_inside(size: int) -> None:
    world = GlyphWorld(size, jitter=0.0)
    for number, share in enumerate(SIZES.values()):
        labels = np.array([[letter, number, 0, 0, 0] for letter in range(26)])
        inked = (world.render(labels, [0] * 26) < 128).all(axis=-1)
        heights = [np.ptp(np.nonzero(picture.any(axis=1))[0]) + 1 for picture in inked]
        assert np.abs(np.array(heights) - share * size * 1.12).max() <= 1.5  # the pen is .06 wide on either side
        assert not inked[:, [0, -1]].any()
        assert not inked[:, :, [0, -1]].any()


def test_a_larger_picture_shows_the_same() -> None:
    labels = some(30)
    small = WORLD.render(labels, [0] * 30).astype(np.float64)
    large = GlyphWorld(128).render(labels, [0] * 30).astype(np.float64)
    shrunk = large.reshape(30, 32, 4, 32, 4, 3).mean(axis=(2, 4))
    assert np.abs(small - shrunk).mean() < 4
