"""The letters: each fills its box, and no two are alike."""

from itertools import combinations

import numpy as np

from diffusegae.data.glyphs.letters import LETTERS, strokes


def test_every_letter_is_one_high_and_centred() -> None:
    for letter in LETTERS:
        heights = strokes(letter)[..., 1]
        assert np.allclose((heights.min(), heights.max()), (-0.5, 0.5), atol=0.02), letter
        assert np.abs(strokes(letter)[..., 0]).max() <= 0.38, letter


def test_no_two_letters_have_the_same_strokes() -> None:
    assert len(LETTERS) == 26
    drawn = {letter: {str(segment) for segment in strokes(letter).round(3).tolist()} for letter in LETTERS}
    assert all(drawn[one] != drawn[other] for one, other in combinations(LETTERS, 2))
