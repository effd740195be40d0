"""The pictures of the comparison: Figs 2 and 5 to 9 with all methods side by side on the same given images.

A method that lacks an example cannot do what the picture shows; its caption names those.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from diffusegae.comparison.measured import GIVEN, Measured
from diffusegae.images import encode_image
from diffusegae.metrics.pictures import Picture, Sheet, draw_recombinations, lay_path, side_by_side
from diffusegae.metrics.projection import draw_projections

PATHS_SHOWN = 2  # pairs of images per interpolation; each takes a row of every method

Shown = Mapping[str, Measured]  # title of a method → what was measured of it
Examples = Mapping[str, UInt8[np.ndarray, "rows ..."]]  # title of a method → its pictures of one kind
Paths = Mapping[str, UInt8[np.ndarray, "fewer frames size size 3"]]  # of the first of the given rows


def draw_grids(shown: Shown, names: Sequence[str]) -> list[Picture]:
    """Draw every picture that at least one method has examples for; `names` are the attributes.

    Raises:
        ValueError: the methods were not measured on the same images.
    """
    given = _given(shown)
    pictures: list[Picture] = []
    if results := _pick(shown, "replaced"):
        pictures.append(_draw_replacements(given, results, names, _unable(shown, results)))
    if results := _pick(shown, "recombined"):
        drawn = draw_recombinations(given["givers"], results, given["recombined_truths"], names)
        pictures.append(Picture(drawn.name, drawn.title, drawn.caption + _unable(shown, results), drawn.png))
    inferred, random = _pick(shown, "inferred"), _pick(shown, "random")
    if inferred or random:
        pictures.append(_draw_reconstructions(given["originals"], inferred, random))
    if results := _pick(shown, "interpolated"):
        caption = "From the source to the target, every frame should be a clean image." + _unable(shown, results)
        sheet = _lay_paths(given, results, "all attributes")
        pictures.append(Picture("interpolation", "Interpolation of all attributes (Fig. 8)", caption, sheet))
    if results := _pick(shown, "interpolated_single"):
        for a, name in enumerate(names):
            paths = {title: pixels[a] for title, pixels in results.items()}
            caption = f"Only the {name} may move towards the target's." + _unable(shown, results)
            title = f"Interpolation of the {name} alone (Fig. 9)"
            pictures.append(Picture(f"interpolation-{a}", title, caption, _lay_paths(given, paths, f"{name} alone")))
    return pictures


def draw_code_grid(shown: Shown, names: Sequence[str]) -> Picture | None:
    """Lay out each method's codes by t-SNE, coloured by each attribute; None if no method's codes were measured."""
    projections = {title: measured.codes for title, measured in shown.items() if measured.codes is not None}
    if not projections:
        return None
    return Picture(
        "tsne",
        "t-SNE of the codes (Figs 2 and 5)",
        "One row per method, one dot per held-out image, one colour per value. Of codes with parts all parts are laid"
        " out together. The silhouette is taken in the space of the codes: 1 apart, 0 mixed, below it misplaced.",
        draw_projections(projections, names),
    )


def _draw_replacements(given: Examples, results: Examples, names: Sequence[str], unable: str) -> Picture:
    sheets = [
        side_by_side(
            {
                "given": [("source", given["sources"]), ("donor", given["donors"])],
                f"{name} of the donor": [(title, pixels[:, a]) for title, pixels in results.items()],
                "truth": [("true image", given["replaced_truths"][:, a])],
            }
        )
        for a, name in enumerate(names)
    ]
    return Picture(
        "replacement",
        "Replacement of one attribute (Fig. 6)",
        "One attribute comes from the donor, all else must stay the source's, as in the true image on the right."
        + unable,
        encode_image(np.concatenate(sheets)),
    )


def _draw_reconstructions(original: UInt8[np.ndarray, "rows ..."], inferred: Examples, random: Examples) -> Picture:
    held_out = {"held out": [("original", original)]}
    kinds = {"all that can be inferred, x_T too": inferred, "code alone, random x_T": random}
    sheets = [side_by_side({**held_out, kind: list(results.items())}) for kind, results in kinds.items() if results]
    widest = max(sheet.shape[1] for sheet in sheets)
    return Picture(
        "reconstruction",
        "Reconstruction (Table 2)",
        "Above, methods may keep x_T and must bring the image back unchanged. Below they have the code alone: all that"
        " it holds must come back. Methods without an x_T are the same in both.",
        encode_image(np.concatenate([_widen(sheet, widest) for sheet in sheets])),
    )


def _lay_paths(given: Examples, paths: Paths, what: str) -> bytes:
    """Lay paths out pair by pair, the methods of a pair below each other."""
    sheets = []
    for row in range(min(PATHS_SHOWN, *(len(pixels) for pixels in paths.values()))):
        source, target = given["sources"][row : row + 1], given["donors"][row : row + 1]
        for title, pixels in paths.items():
            frames = [pixels[row : row + 1, frame] for frame in range(pixels.shape[1])]
            sheets.append(lay_path(source, frames, target, f"{title}: {what}"))
    return encode_image(np.concatenate(sheets))


def _given(shown: Shown) -> Examples:
    first_title, first = next(iter(shown.items()))
    for title, measured in shown.items():
        for name in GIVEN:
            if not np.array_equal(measured.examples[name], first.examples[name]):
                raise ValueError(
                    f"{title} and {first_title} were shown different images ({name}); take examples of one seed"
                )
    return {name: first.examples[name] for name in GIVEN}


def _pick(shown: Shown, name: str) -> Examples:
    return {title: measured.examples[name] for title, measured in shown.items() if name in measured.examples}


def _unable(shown: Shown, results: Examples) -> str:
    missing = [title for title in shown if title not in results]
    return f" Unable to do it: {', '.join(missing)}." if missing else ""


def _widen(sheet: Sheet, width: int) -> Sheet:
    return np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=255)
