"""Pictures: every image where it belongs, enlarged without smoothing; interpolation starts and ends at its images."""

import numpy as np
import numpy.typing as npt

from diffusegae.editing.editor import Editor
from diffusegae.images import decode_image
from diffusegae.metrics.pictures import (
    FRAMES,
    GROUP_GAP,
    draw_interpolation,
    draw_recombinations,
    draw_reconstructions,
    draw_replacements,
    draw_single_interpolations,
)
from tests.tiny import smoke_config, tiny_model, tiny_schema

Pixels = npt.NDArray[np.uint8]
SIZE, SCALE, GAP, BAND = 32, 3, 2, 36
CELL = SIZE * SCALE + GAP


def images(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*shape, SIZE, SIZE, 3), dtype=np.uint8)


def cell(sheet: Pixels, row: int, groups: list[int], group: int, column: int) -> Pixels:
    """Cut one image out of a picture whose groups have so many columns, and shrink it to its own size."""
    left = sum(count * CELL + GAP + GROUP_GAP for count in groups[:group]) + GAP + column * CELL
    top = BAND + GAP + row * CELL
    return sheet[top : top + SIZE * SCALE : SCALE, left : left + SIZE * SCALE : SCALE]


def test_replacement_shows_source_donor_and_each_edit_beside_its_truth() -> None:
    source, donor, edited, truth = images(2), images(2, seed=1), images(2, 3, seed=2), images(2, 3, seed=3)
    picture = draw_replacements(source, donor, edited, truth, ["identity", "background", "pose"])
    sheet = decode_image(picture.png)
    groups = [2, 2, 2, 2]
    assert sheet.shape[1] == sum(count * CELL + GAP for count in groups) + 3 * GROUP_GAP
    for row in range(2):
        assert np.array_equal(cell(sheet, row, groups, 0, 0), source[row])
        assert np.array_equal(cell(sheet, row, groups, 0, 1), donor[row])
        for j in range(3):
            assert np.array_equal(cell(sheet, row, groups, 1 + j, 0), edited[row, j])
            assert np.array_equal(cell(sheet, row, groups, 1 + j, 1), truth[row, j])


def test_recombination_shows_givers_every_editor_and_the_truth() -> None:
    givers, results, truth = (
        images(3, 2),
        {"stage 2": images(3, seed=1), "stage 3": images(3, seed=2)},
        images(3, seed=3),
    )
    sheet = decode_image(draw_recombinations(givers, results, truth, ["a", "b"]).png)
    groups = [2, 2, 1]
    assert np.array_equal(cell(sheet, 2, groups, 0, 1), givers[2, 1])
    assert np.array_equal(cell(sheet, 1, groups, 1, 1), results["stage 3"][1])
    assert np.array_equal(cell(sheet, 0, groups, 2, 0), truth[0])


def test_reconstruction_shows_both_noises() -> None:
    original, inferred, random = images(1), images(1, seed=1), images(1, seed=2)
    sheet = decode_image(draw_reconstructions(original, inferred, {"only": random}).png)
    for group, expected in enumerate((original, inferred, random)):
        assert np.array_equal(cell(sheet, 0, [1, 1, 1], group, 0), expected[0])


def test_interpolations_keep_the_ends_and_stack_the_attributes() -> None:
    config, schema = smoke_config("sampling.steps=2"), tiny_schema(8, 8, 8)
    editor = Editor(tiny_model(config, schema), config, schema)
    source, target = images(2), images(2, seed=1)
    together = decode_image(draw_interpolation(editor, source, target).png)
    groups = [1, FRAMES, 1]
    assert np.array_equal(cell(together, 1, groups, 0, 0), source[1])
    assert np.array_equal(cell(together, 1, groups, 2, 0), target[1])
    single = decode_image(draw_single_interpolations(editor, source, target).png)
    assert single.shape == (3 * together.shape[0], *together.shape[1:])
    # With one attribute moving, the first frame is the source brought back, whichever attribute it is.
    starts = [cell(single[k * len(together) :], 0, groups, 1, 0) for k in range(3)]
    assert np.array_equal(starts[0], starts[1])
    assert np.array_equal(starts[0], starts[2])


def test_large_images_are_not_enlarged_and_long_names_are_cut() -> None:
    large = np.zeros((1, 128, 128, 3), np.uint8)
    sheet = decode_image(draw_reconstructions(large, large, {"an editor with a very long name": large}).png)
    assert sheet.shape == (BAND + 128 + 2 * GAP, 3 * (128 + 2 * GAP) + 2 * GROUP_GAP, 3)
