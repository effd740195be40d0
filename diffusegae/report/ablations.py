"""The ablations in the report: one table of worth and cost, a row per variant, held against the config item by item."""

from collections.abc import Mapping, Sequence

import numpy as np

from diffusegae.evaluation.measured import Measured
from diffusegae.evaluation.results import Judged
from diffusegae.report import html
from diffusegae.report.content import Content
from diffusegae.report.tables import figure_table, show

Studied = Mapping[str, Mapping[str, Sequence[Judged]]]  # question → variant → per seed; the config itself under ""

# What variants are judged by, beside PPL at the fewest steps.
KEY_FIGURES = ("codes/leak", "codes/mlp_leak", "reconstruct_random/lpips", "recombine/all_right", "replace/swapped",
               "replace/all_kept", "replace/lpips")  # fmt: skip
INTRODUCTION = (
    "Our own method with one thing changed, held against the config itself (the first row). Below each figure: its"
    " difference to the config's on the same items. Green or red: better or worse, the 95% interval of the paired"
    " difference excludes 0. One seed's interval is over images only, which says nothing of how another seed would turn"
    " out. Below each name: seconds of training in all, and how many times the config's."
)


def draw_ablations(studied: Studied, names: Sequence[str], shortest: int) -> list[str]:
    """Return a table of the key figures and PPL at `shortest` steps, by question; nothing without variants.

    Raises:
        ValueError: the config itself is missing, or a variant was judged on other items than it.
    """
    if not studied:
        return []
    if not studied.get(""):
        raise ValueError(f"the config itself is missing among the ablations {list(studied)}; put it under question ''")
    config, whole = next(iter(studied[""].items()))
    subjects = {f"{question}/{title}": _name(judged, question, title, whole)
                for question, each in studied.items() for title, judged in each.items()}  # fmt: skip
    content = Content(subjects, Measured(), tuple(names), f"/{config}")
    table = figure_table(content, [*KEY_FIGURES, f"path/ppl/T{shortest}"], against=content.ours)
    return [html.heading("Ablations: worth and cost"), html.paragraph(INTRODUCTION), table]


def _name(judged: Sequence[Judged], question: str, title: str, whole: Sequence[Judged]) -> list[Judged]:
    """Call a variant by its title, its question, and what it takes to train."""
    seconds, all_seconds = (np.mean([each.finding.seconds for each in found]) for found in (judged, whole))
    ratio = f" × {seconds / all_seconds:.2f}" if question and all_seconds > 0 else ""
    lines = [title, question, f"{show(float(seconds), 'count')} s{ratio}"]
    titled = {"title": "\n".join(filter(None, lines)), "notes": ()}
    return [Judged(each.finding.model_copy(update=titled), each.measured) for each in judged]
