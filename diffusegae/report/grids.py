"""The pictures of both pages: reconstruction, recombination (Fig. 7), replacement (Fig. 6), interpolation (Figs 8, 9).

One PNG each, per stratum, all rows side by side on the same given images: groups of columns, each under its heading. A
row that lacks an example cannot do what the picture shows; its caption names those.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from diffusegae.images import encode_image, label_grid, make_grid
from diffusegae.report.charts import draw_projections
from diffusegae.report.content import WORDS, Content

SIDE = 96  # pixels of a shown image, about
GROUP_GAP = 14
CAPTION_LETTERS = 16
PATHS_SHOWN = 2  # pairs of images per interpolation; each takes a line of every row

Pixels = UInt8[np.ndarray, "n size size 3"]
Sheet = UInt8[np.ndarray, "_ _ 3"]
Groups = Mapping[str, Sequence[tuple[str, Pixels]]]  # heading → columns, each under its caption
Examples = Mapping[str, UInt8[np.ndarray, "_ ..."]]  # title of a row → its pictures of one kind


@dataclass(frozen=True)
class Picture:
    """A PNG with a title and what to look at in it."""

    title: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Shown:
    """The examples of one stratum: what was given, and what each row made of it."""

    stratum: str
    given: Examples
    made: Mapping[str, Examples]  # title of a row → its pictures by kind

    def pick(self, kind: str) -> dict[str, UInt8[np.ndarray, "_ ..."]]:
        """Return the pictures of a kind, by row."""
        return {title: examples[kind] for title, examples in self.made.items() if kind in examples}

    def draw(self, title: str, caption: str, results: Examples, sheets: Sequence[Groups]) -> Picture:
        """Stack sheets; the title says the stratum, the caption which rows have no results."""
        missing = ", ".join(row for row in self.made if row not in results)
        caption += f" Unable to do it: {missing}." if missing else ""
        png = encode_image(_stack([side_by_side(groups) for groups in sheets]))
        return Picture(f"{title}: {WORDS[self.stratum]}", caption, png)


def draw_grids(content: Content) -> dict[str, list[Picture]]:
    """Draw every picture that at least one row has examples for, by section and stratum; `codes` has the t-SNE."""
    pictures: dict[str, list[Picture]] = {}
    examples = {content.titles[row]: judged[0].measured.examples for row, judged in content.subjects.items()}
    for stratum in WORDS:
        made = {title: _of_stratum(each, stratum) for title, each in examples.items()}
        shown = Shown(stratum, _of_stratum(content.references.examples, stratum), made)
        for section, picture in _draw(shown, content.names):
            pictures.setdefault(section, []).append(picture)
    measured = {content.titles[row]: judged[0].measured.codes for row, judged in content.subjects.items()}
    if codes := {title: found for title, found in measured.items() if found is not None}:
        caption = "One dot per held-out image, one colour per value; all parts together. Silhouettes are of the codes."
        png = draw_projections(codes, content.names)
        pictures["codes"] = [Picture("t-SNE of the codes (Figs 2 and 5)", caption, png)]
    return pictures


def side_by_side(groups: Groups) -> Sheet:
    """Lay groups of columns next to each other, each under its heading."""
    sheets = [_sheet(columns, heading) for heading, columns in groups.items()]
    gap = np.full((len(sheets[0]), GROUP_GAP, 3), 255, np.uint8)
    return np.concatenate([piece for sheet in sheets for piece in (sheet, gap)][:-1], axis=1)


def _of_stratum(examples: Examples, stratum: str) -> Examples:
    whole = f"{stratum}/"
    return {name.removeprefix(whole): pixels for name, pixels in examples.items() if name.startswith(whole)}


def _draw(shown: Shown, names: Sequence[str]) -> Iterator[tuple[str, Picture]]:
    given = shown.given
    kinds = {"x_T inferred": shown.pick("inferred"), "x_T random": shown.pick("random")}
    if results := {title: pixels for found in kinds.values() for title, pixels in found.items()}:
        held_out = {"held out": [("original", given["originals"])]}
        sheets: list[Groups] = [held_out | {what: list(found.items())} for what, found in kinds.items() if found]
        caption = "With x_T inferred all must come back unchanged, with a random one what the code holds."
        yield "reconstruct", shown.draw("Reconstruction (Table 2)", caption, results, sheets)
    if results := shown.pick("recombined"):
        truth = given["recombined_truths"]
        groups: Groups = {
            "one attribute from each": [(name, given["givers"][:, j]) for j, name in enumerate(names)],
            "recombined, random x_T": list(results.items()),
            "truth": [("true image", truth)],
        }
        caption = "It should show the first image's first attribute, the second's second, and so on."
        yield "recombine", shown.draw("Recombination (Fig. 7)", caption + _say_missing(truth), results, [groups])
    if results := shown.pick("replaced"):
        truth = given["replaced_truths"]
        sheets = [
            {
                "given": [("source", given["sources"]), ("donor", given["donors"])],
                f"{name} of the donor": [(title, pixels[:, a]) for title, pixels in results.items()],
                "truth": [("true image", truth[:, a])],
            }
            for a, name in enumerate(names)
        ]
        caption = "One attribute comes from the donor, all else must stay the source's." + _say_missing(truth)
        yield "replace", shown.draw("Replacement of one attribute (Fig. 6)", caption, results, sheets)
    ways = [("all attributes", "Fig. 8", "Every frame should be a clean image.", shown.pick("interpolated"))]
    for a, name in enumerate(names):
        paths = {title: pixels[a] for title, pixels in shown.pick("interpolated_single").items()}
        ways.append((f"{name} alone", "Fig. 9", f"Only the {name} may move to the target's.", paths))
    for what, where, caption, paths in ways:
        if paths:
            title, sheets = f"Interpolation of {what} ({where})", _lay_paths(shown, paths, what)
            yield "interpolate", shown.draw(title, caption, paths, sheets)


def _lay_paths(shown: Shown, paths: Examples, what: str) -> list[Groups]:
    """Lay the frames of each path between its ends, path by path, the rows of a path below each other."""
    sheets: list[Groups] = []
    for pair in range(min(PATHS_SHOWN, *(len(pixels) for pixels in paths.values()))):
        source, target = (shown.given[name][pair : pair + 1] for name in ("sources", "donors"))
        for title, pixels in paths.items():
            last = pixels.shape[1] - 1
            frames = [(f"{index / last:.2f}", pixels[pair : pair + 1, index]) for index in range(last + 1)]
            sheets.append({"from": [("source", source)], f"{title}: {what}": frames, "to": [("target", target)]})
    return sheets


def _say_missing(truth: UInt8[np.ndarray, "_ ..."]) -> str:
    """Say what grey is if there is no true picture for some."""
    flat = truth.reshape(-1, np.prod(truth.shape[-3:]))
    return " Grey: there is no true image of that edit." if (flat == flat[:, :1]).all(axis=1).any() else ""


def _sheet(columns: Sequence[tuple[str, Pixels]], heading: str) -> Sheet:
    pictures = np.stack([pixels for _, pixels in columns], axis=1)
    scale = max(1, SIDE // pictures.shape[2])
    grid = make_grid(pictures.reshape(-1, *pictures.shape[2:]), columns=len(columns), scale=scale)
    return label_grid(grid, [_shorten(caption, 1) for caption, _ in columns], _shorten(heading, len(columns)))


def _stack(sheets: Sequence[Sheet]) -> Sheet:
    """Lay sheets below each other, the narrower ones filled with white."""
    widest = max(sheet.shape[1] for sheet in sheets)
    return np.concatenate([np.pad(s, ((0, 0), (0, widest - s.shape[1]), (0, 0)), constant_values=255) for s in sheets])


def _shorten(text: str, columns: int) -> str:
    limit = CAPTION_LETTERS * columns
    return text if len(text) <= limit else text[: limit - 1] + "…"
