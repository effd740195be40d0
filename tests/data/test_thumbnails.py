"""The thumbnail sheet: it says what became of pictures that are no squares."""

from pathlib import Path

import pytest

from diffusegae.data import thumbnails
from diffusegae.data.thumbnails import THUMBNAILS, write_contact_sheet
from diffusegae.images import Resize, decode_image, label_grid
from tests.stored_images import write_images


@pytest.mark.parametrize(
    ("resize", "words"),
    [("crop", "the square in the centre"), ("pad", "filled up to a square"), ("stretch", "stretched to a square")],
)
def test_the_title_says_how_pictures_were_framed(
    resize: Resize, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write_images(str(tmp_path), {"kind": 3, "ground": 4})
    recipe = manifest.recipe.model_copy(update={"resize": resize, "background": "navy"})
    titles = []

    def note(grid: object, columns: object, title: str) -> object:
        titles.append(title)
        return label_grid(grid, columns, title)  # type: ignore[arg-type]

    monkeypatch.setattr(thumbnails, "label_grid", note)
    write_contact_sheet(str(tmp_path), manifest.model_copy(update={"recipe": recipe}), "kind")
    (title,) = titles
    assert title.startswith(f"12 images of 32 px by kind. data.resize: {resize}. Each is ")
    assert words in title
    assert title.endswith("What is transparent lies on data.background: navy.")
    assert decode_image((tmp_path / THUMBNAILS).read_bytes()).shape[0] > 8 * 64 + 4 * 18
