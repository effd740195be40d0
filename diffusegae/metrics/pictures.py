"""The pictures of the report: reconstruction, replacement (Fig. 6), recombination (Fig. 7), interpolation (Figs 8, 9).

A picture is one PNG: groups of columns side by side, given images on the left, each group with its own heading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from diffusegae.editing.editor import Editor
from diffusegae.images import encode_image, label_grid, make_grid, to_pixels, to_tensor
from diffusegae.metrics.projection import Projection, draw_projections

SIDE = 96  # pixels of a shown image, about
GROUP_GAP = 14
FRAMES = 7
CAPTION_LETTERS = 16

Pixels = UInt8[np.ndarray, "n size size 3"]
Sheet = UInt8[np.ndarray, "height width 3"]
Column = tuple[str, Pixels]


@dataclass(frozen=True)
class Picture:
    """A PNG with a file name, a title and what to look at in it."""

    name: str
    title: str
    caption: str
    png: bytes


def draw_reconstructions(original: Pixels, inferred: Pixels, random: Mapping[str, Pixels]) -> Picture:
    """Show images, as they come back from their own x_T, and each editor's version from random x_T."""
    groups = {
        "held out": [("original", original)],
        "its own x_T": [("inferred x_T", inferred)],
        "random x_T": list(random.items()),
    }
    return Picture(
        "reconstruction",
        "Reconstruction",
        "From its own noise an image must come back unchanged. From random noise all that z_dis holds must come back"
        " (same object, pose and surroundings); only detail may differ.",
        _encode(side_by_side(groups)),
    )


def draw_replacements(
    source: Pixels,
    donor: Pixels,
    edited: UInt8[np.ndarray, "n m size size 3"],
    truth: UInt8[np.ndarray, "n m size size 3"],
    names: Sequence[str],
) -> Picture:
    """Show each attribute taken from a donor, beside the true image of that edit (Fig. 6)."""
    groups: dict[str, list[Column]] = {"given": [("source", source), ("donor", donor)]}
    for j, name in enumerate(names):
        groups[f"{name} of the donor"] = [("edited", edited[:, j]), ("true image", truth[:, j])]
    return Picture(
        "replacement",
        "Replacement of one attribute (Fig. 6)",
        "Each pair should look alike: one attribute comes from the donor, all else stays the source's.",
        _encode(side_by_side(groups)),
    )


def draw_recombinations(
    givers: UInt8[np.ndarray, "n m size size 3"], results: Mapping[str, Pixels], truth: Pixels, names: Sequence[str]
) -> Picture:
    """Show images whose every attribute comes from another image, of each editor, beside the truth (Fig. 7)."""
    groups = {
        "one attribute from each": [(name, givers[:, j]) for j, name in enumerate(names)],
        "recombined, random x_T": list(results.items()),
        "truth": [("true image", truth)],
    }
    return Picture(
        "recombination",
        "Recombination (Fig. 7)",
        "The result should show the first image's first attribute, the second's second, and so on, as the true image"
        " does; detail that no attribute names is left to chance.",
        _encode(side_by_side(groups)),
    )


def draw_interpolation(editor: Editor, sources: Pixels, targets: Pixels) -> Picture:
    """Show all attributes moving from source to target at once (Fig. 8)."""
    return Picture(
        "interpolation",
        "Interpolation of all attributes (Fig. 8)",
        "From the source to the target, every frame should be a clean image.",
        _encode(_path(editor, sources, targets, editor.schema.names, "all attributes")),
    )


def draw_single_interpolations(editor: Editor, sources: Pixels, targets: Pixels) -> Picture:
    """Show one attribute at a time moving from source to target (Fig. 9)."""
    blocks = [_path(editor, sources, targets, [name], f"{name} alone") for name in editor.schema.names]
    return Picture(
        "single-interpolation",
        "Interpolation of one attribute (Fig. 9)",
        "Only the named attribute may move towards the target's; the others stay the source's.",
        _encode(np.concatenate(blocks)),
    )


def draw_codes(projections: Mapping[str, Projection], names: Sequence[str]) -> Picture:
    """Show codes laid out by t-SNE, coloured by each attribute (Fig. 5)."""
    return Picture(
        "tsne",
        "t-SNE of the codes (Fig. 5)",
        "One dot per held-out image, one colour per value. The silhouette says how well values separate in the space"
        " of the codes: 1 apart, 0 mixed.",
        draw_projections(projections, names),
    )


def _path(editor: Editor, sources: Pixels, targets: Pixels, names: Sequence[str], heading: str) -> Sheet:
    frames = editor.interpolate(
        to_tensor(sources).to(editor.device), to_tensor(targets).to(editor.device), names, FRAMES
    )
    return lay_path(sources, [to_pixels(frame) for frame in frames], targets, heading)


def lay_path(sources: Pixels, frames: Sequence[Pixels], targets: Pixels, heading: str) -> Sheet:
    """Lay the frames of a path between its ends, one path per row."""
    columns = [(f"{index / (len(frames) - 1):.2f}", frame) for index, frame in enumerate(frames)]
    return side_by_side({"from": [("source", sources)], heading: columns, "to": [("target", targets)]})


def side_by_side(groups: Mapping[str, Sequence[Column]]) -> Sheet:
    """Lay groups of columns next to each other, each under its heading."""
    sheets = [_sheet(columns, heading) for heading, columns in groups.items()]
    gap = np.full((len(sheets[0]), GROUP_GAP, 3), 255, np.uint8)
    return np.concatenate([piece for sheet in sheets for piece in (sheet, gap)][:-1], axis=1)


def _sheet(columns: Sequence[Column], heading: str) -> Sheet:
    pictures = np.stack([pixels for _, pixels in columns], axis=1)
    scale = max(1, SIDE // pictures.shape[2])
    grid = make_grid(pictures.reshape(-1, *pictures.shape[2:]), columns=len(columns), scale=scale)
    return label_grid(grid, [_shorten(caption, 1) for caption, _ in columns], _shorten(heading, len(columns)))


def _shorten(text: str, columns: int) -> str:
    limit = CAPTION_LETTERS * columns
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _encode(sheet: Sheet) -> bytes:
    return encode_image(sheet)
