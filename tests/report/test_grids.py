"""Pictures: every image where it belongs, per stratum, enlarged without smoothing; grey is said in the caption."""

import dataclasses

import numpy as np
import pytest

from diffusegae.evaluation.measured import Measured
from diffusegae.images import decode_image
from diffusegae.report.content import Content
from diffusegae.report.grids import GROUP_GAP, draw_grids, side_by_side
from tests.report.conftest import FRAMES, NAMES, SIZE, Subjects, judge, make_references, measured_row

SCALE, GAP, BAND = 3, 2, 36
CELL = SIZE * SCALE + GAP


@pytest.fixture
def content(subjects: Subjects, references: Measured) -> Content:
    return Content(subjects, references, NAMES, "diffusegae")


def cell(sheet: np.ndarray, row: int, groups: list[int], group: int, column: int) -> np.ndarray:
    """Cut one image out of a picture whose groups have so many columns, and shrink it to its own size."""
    left = sum(count * CELL + GAP + GROUP_GAP for count in groups[:group]) + GAP + column * CELL
    top = BAND + GAP + row * CELL
    return sheet[top : top + SIZE * SCALE : SCALE, left : left + SIZE * SCALE : SCALE]


def test_every_kind_is_drawn_for_every_stratum(content: Content) -> None:
    grids = draw_grids(content)
    titles = {kind: [picture.title for picture in pictures] for kind, pictures in grids.items()}
    for kind, title in (("reconstruct", "Reconstruction (Table 2)"), ("recombine", "Recombination (Fig. 7)"),
                        ("replace", "Replacement of one attribute (Fig. 6)")):  # fmt: skip
        assert titles[kind] == [f"{title}: {stratum}" for stratum in ("seen pairs", "unseen pair", "unseen instance")]
    assert titles["interpolate"][0] == "Interpolation of all attributes (Fig. 8): seen pairs"
    assert len(titles["interpolate"]) == 1 + len(NAMES)
    assert titles["codes"] == ["t-SNE of the codes (Figs 2 and 5)"]


def test_replacement_shows_source_donor_every_row_and_the_truth(content: Content, subjects: Subjects) -> None:
    sheet = decode_image(draw_grids(content)["replace"][0].png)
    groups = [2, 2, 1]  # DDIM cannot
    given = content.references.examples
    for j in range(len(NAMES)):
        block = sheet[j * len(sheet) // len(NAMES) :]
        for row in range(2):
            assert np.array_equal(cell(block, row, groups, 0, 0), given["seen_pairs/sources"][row])
            assert np.array_equal(cell(block, row, groups, 0, 1), given["seen_pairs/donors"][row])
            assert np.array_equal(cell(block, row, groups, 2, 0), given["seen_pairs/replaced_truths"][row, j])
            for column, name in enumerate(("diffusegae", "diffae")):
                made = subjects[name][0].measured.examples["seen_pairs/replaced"]
                assert np.array_equal(cell(block, row, groups, 1, column), made[row, j])


def test_recombination_and_reconstruction_show_what_was_given_and_made(content: Content, subjects: Subjects) -> None:
    grids, made = draw_grids(content), subjects["diffae"][0].measured.examples
    sheet, groups = decode_image(grids["recombine"][1].png), [3, 2, 1]
    assert np.array_equal(cell(sheet, 1, groups, 0, 2), content.references.examples["unseen_pair/givers"][1, 2])
    assert np.array_equal(cell(sheet, 1, groups, 1, 1), made["unseen_pair/recombined"][1])
    sheet, groups = decode_image(grids["reconstruct"][0].png), [1, 3]
    for block, kind in zip(np.split(sheet, 2), ("inferred", "random"), strict=True):
        assert np.array_equal(cell(block, 0, groups, 0, 0), content.references.examples["seen_pairs/originals"][0])
        assert np.array_equal(cell(block, 0, groups, 1, 1), made[f"seen_pairs/{kind}"][0])


def test_a_reconstruction_with_x_t_has_only_the_rows_that_infer_it(subjects: Subjects) -> None:
    one = subjects["diffusegae"][0].measured
    without = {name: pixels for name, pixels in one.examples.items() if not name.endswith("/inferred")}
    other = dataclasses.replace(one, examples=without)
    content = Content({"a": [judge("a", "A", one)], "b": [judge("b", "B", other)]}, make_references(), NAMES, "a")
    picture = draw_grids(content)["reconstruct"][0]
    above, below = np.split(decode_image(picture.png), 2)
    assert (above[:, -CELL:] == 255).all()
    assert not (below[:, -CELL:] == 255).all()
    assert "Unable" not in picture.caption


def test_interpolations_keep_the_ends(content: Content, subjects: Subjects) -> None:
    sheet = decode_image(draw_grids(content)["interpolate"][2].png)
    groups, given = [1, FRAMES, 1], content.references.examples
    made = subjects["diffusegae"][0].measured.examples["seen_pairs/interpolated_single"]
    assert np.array_equal(cell(sheet, 0, groups, 0, 0), given["seen_pairs/sources"][0])
    assert np.array_equal(cell(sheet, 0, groups, 1, 2), made[1, 0, 2])
    assert np.array_equal(cell(sheet, 0, groups, 2, 0), given["seen_pairs/donors"][0])


def test_captions_say_what_is_missing_and_who_cannot(content: Content) -> None:
    grids = draw_grids(content)
    assert ["Grey" in picture.caption for picture in grids["replace"]] == [False, False, True]
    assert all("Unable to do it: DDIM." in picture.caption for picture in grids["recombine"])
    assert not any("Unable" in picture.caption for picture in grids["reconstruct"])


def test_pictures_are_left_out_where_nobody_can() -> None:
    row = dataclasses.replace(measured_row(0.9, edits=False, coded=False), examples={})
    content = Content({"ddim": [judge("ddim", "DDIM", row)]}, make_references(), NAMES, "ddim")
    assert draw_grids(content) == {}


def test_large_images_are_not_enlarged_and_long_names_are_cut() -> None:
    large = np.zeros((1, 128, 128, 3), np.uint8)
    sheet = side_by_side({"a": [("a row with a very long name", large)], "b": [("b", large)]})
    assert sheet.shape == (BAND + 128 + 2 * GAP, 2 * (128 + 2 * GAP) + GROUP_GAP, 3)
