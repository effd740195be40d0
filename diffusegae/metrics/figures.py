"""The figures by which editors are compared, in the order in which report and terminal show them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from diffusegae.metrics.counterfactual import Closeness
from diffusegae.metrics.evaluation import Evaluation
from diffusegae.metrics.scores import ImageScores

Style = Literal["share", "error"]
Values = Mapping[str, float | None]

NOT_MEASURED = "–"
# What editors are held against, as the tables name it.
UNEDITED, AUTO_ENCODED, TRUE = "sources unedited", "auto-encoded", "true images"


@dataclass(frozen=True)
class Figure:
    """One figure of every editor, and of what it should be held against; None where it was not measured."""

    label: str
    values: Values
    style: Style = "share"  # a share should be high, an error low
    references: Values = field(default_factory=dict)

    @property
    def better(self) -> str | None:
        """The editor whose figure is best by what is shown of it; None when they are level or there is only one."""
        texts = {name: show(value, self.style) for name, value in self.values.items()}
        shown = {name: float(text) for name, text in texts.items() if text != NOT_MEASURED}
        if len(shown) < 2 or len(set(shown.values())) == 1:
            return None
        return (max if self.style == "share" else min)(shown, key=lambda name: shown[name])


def show(value: float | None, style: Style) -> str:
    """Write a figure: shares and SSIM to three places, small errors in powers of ten."""
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    if style == "error" and abs(value) < 0.001 and value != 0:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.4f}" if style == "error" else f"{value:.3f}"


def compare_reconstructions(evaluation: Evaluation) -> list[Figure]:
    """Return Table 2's columns with inferred and with random x_T."""
    images = _images(evaluation)
    return [
        *_closeness({editor: found.inferred.closeness for editor, found in images.items()}, {}, "inferred x_T"),
        *_closeness({editor: found.random.closeness for editor, found in images.items()}, {}, "random x_T"),
    ]


def compare_replacements(evaluation: Evaluation) -> list[Figure]:
    """Return what the judge reads from replacements, all of them and attribute by attribute, and their closeness.

    The reference is the last editor's sources brought back unedited: what the kept attributes can reach.
    """
    found = {editor: images.replacement for editor, images in _images(evaluation).items()}
    unedited = _last(evaluation).brought_back
    kept = sum(unedited.right.values()) / len(unedited.right)
    rows: list[tuple[str, Values, Values]] = [
        ("swapped attribute right", {e: s.overall.swapped_right for e, s in found.items()}, {}),
        ("kept attributes right", {e: s.overall.kept_right for e, s in found.items()}, {UNEDITED: kept}),
        (
            "every kept attribute right",
            {e: s.overall.all_kept_right for e, s in found.items()},
            {UNEDITED: unedited.all_right},
        ),
    ]
    for name in evaluation.names:
        of_attribute = {editor: scores.by_attribute[name] for editor, scores in found.items()}
        rows += [
            (f"{name} swapped: it is right", {e: s.swapped_right for e, s in of_attribute.items()}, {}),
            (f"{name} swapped: kept right", {e: s.kept_right for e, s in of_attribute.items()}, {}),
        ]
    closeness = {editor: scores.overall.closeness for editor, scores in found.items()}
    return [
        *(Figure(label, values, references=references) for label, values, references in rows),
        *_closeness(closeness, {UNEDITED: unedited.closeness}, "to the true image"),
    ]


def compare_recombinations(evaluation: Evaluation) -> list[Figure]:
    """Return what the judge reads from recombinations, and their closeness.

    The references are held-out images that the last editor auto-encoded with random x_T, and the true images.
    """
    found = {editor: images.recombination for editor, images in _images(evaluation).items()}
    plain, truth = _last(evaluation).random, evaluation.judge_on_truths
    figures = [
        Figure(
            f"{name} right",
            {editor: scores.right[name] for editor, scores in found.items()},
            references={AUTO_ENCODED: plain.right[name], TRUE: truth.right[name] if truth else None},
        )
        for name in evaluation.names
    ]
    together = Figure(
        "all attributes right",
        {editor: scores.all_right for editor, scores in found.items()},
        references={AUTO_ENCODED: plain.all_right, TRUE: truth.all_right if truth else None},
    )
    closeness = {editor: scores.closeness for editor, scores in found.items()}
    return [*figures, together, *_closeness(closeness, {AUTO_ENCODED: plain.closeness}, "to the true image")]


def _closeness(values: Mapping[str, Closeness], references: Mapping[str, Closeness], what: str) -> list[Figure]:
    return [
        Figure(
            f"SSIM {what}", {name: c.ssim for name, c in values.items()}, "share",
            {name: c.ssim for name, c in references.items()},
        ),
        Figure(
            f"LPIPS {what}", {name: c.lpips for name, c in values.items()}, "error",
            {name: c.lpips for name, c in references.items()},
        ),
        Figure(
            f"MSE {what}", {name: c.mse for name, c in values.items()}, "error",
            {name: c.mse for name, c in references.items()},
        ),
    ]  # fmt: skip


def _images(evaluation: Evaluation) -> dict[str, ImageScores]:
    return {editor: scores.images for editor, scores in evaluation.scores.items()}


def _last(evaluation: Evaluation) -> ImageScores:
    return list(evaluation.scores.values())[-1].images
