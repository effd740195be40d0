"""The parallel-coordinates picture of a sweep: one line per trial across its settings, leak, error and score."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from pydantic import JsonValue

from diffusegae.config.tuning import Dimension
from diffusegae.tuning.results import TrialResult, short_key, shown, winner_of
from diffusegae.tuning.score import ERROR, LEAK, SCORE

INK, GRID, WINNER = "#222222", "#c8c8c8", "#d1304b"
MAX_TICKS = 5


@dataclass(frozen=True)
class Scale:
    """One upright axis: where each trial's value lies between 0 and 1, and the ticks that say what is where."""

    title: str
    places: np.ndarray
    ticks: Sequence[tuple[float, str]]


def draw_sweep(results: Sequence[TrialResult], dimensions: Mapping[str, Dimension]) -> bytes:
    """Return the picture as a PNG."""
    winner = winner_of(results)
    scales = [_setting(key, dimension, results) for key, dimension in dimensions.items()]
    scales += [_measured(LEAK, "leak", results, log=True), _measured(ERROR, "error", results, log=True)]
    scales.append(_measured(SCORE, "score", results, log=False))
    figure = Figure(figsize=(1.15 * len(scales) + 1.6, 6.4), layout="constrained")
    axes = figure.subplots()
    colour = _colour(results)
    for number, result in sorted(enumerate(results), key=lambda entry: _prominence(entry[1], winner)):
        _draw_line(axes, [scale.places[number] for scale in scales], result, winner, colour)
    _draw_axes(axes, scales)
    figure.colorbar(colour, ax=axes, label="score", pad=0.01, fraction=0.025)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, frameon=False)
    stopped = sum(result.record.status == "stopped" for result in results)
    axes.set_title(
        f"{len(results)} trials, {stopped} stopped early; trial {winner.number} wins with {winner.score:.4f}",
        loc="left", pad=46, fontsize=12, color=INK,
    )  # fmt: skip
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130, facecolor="white")
    return png.getvalue()


def _colour(results: Sequence[TrialResult]) -> ScalarMappable:
    scores = [result.score for result in results]
    low, high = min(scores), max(scores)
    return ScalarMappable(Normalize(low, high if high > low else low + 1e-6), colormaps["viridis"].reversed())


def _prominence(result: TrialResult, winner: TrialResult) -> tuple[int, float]:
    """Return the order of drawing: what matters most is drawn last."""
    return 3 if result is winner else 2 if result.number == 0 else 1 if result.is_whole else 0, result.score


def _draw_line(
    axes: Axes, places: Sequence[float], result: TrialResult, winner: TrialResult, colour: ScalarMappable
) -> None:
    style: dict[str, Any] = {"color": colour.to_rgba(np.array(result.score)), "lw": 2.2, "label": "ran to its end"}
    if not result.is_whole:
        style |= {"lw": 0.9, "alpha": 0.8, "label": "stopped early"}
    if result.number == 0:
        style |= {"color": INK, "lw": 2.4, "ls": (0, (4, 2)), "label": "the config itself (trial 0)"}
    if result is winner:
        style |= {"color": WINNER, "lw": 3.6, "label": f"winner (trial {result.number})"}
    if style["label"] in axes.get_legend_handles_labels()[1]:
        style.pop("label")
    axes.plot(range(len(places)), places, marker="o", ms=4, **style)


def _draw_axes(axes: Axes, scales: Sequence[Scale]) -> None:
    for place, scale in enumerate(scales):
        axes.axvline(place, color=GRID, lw=1, zorder=0)
        for height, label in scale.ticks:
            axes.plot([place - 0.03, place], [height, height], color=INK, lw=0.8)
            axes.annotate(
                label, (place, height), (-5, 0), textcoords="offset points", ha="right", va="center", fontsize=8,
                color=INK, bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.85}, zorder=5,
            )  # fmt: skip
        axes.text(place, 1.05, scale.title, ha="center", va="bottom", fontsize=9, color=INK, weight="bold")
    axes.set_xlim(-0.7, len(scales) - 0.7)
    axes.set_ylim(-0.05, 1.05)
    axes.axis("off")


def _setting(key: str, dimension: Dimension, results: Sequence[TrialResult]) -> Scale:
    values = [result.settings[key] for result in results]
    title = short_key(key).replace(" ", "\n").replace("_", "\n", 1)
    if dimension.kind == "choice" or not all(isinstance(value, int | float) for value in values):
        return _categories(title, values)
    return _numbers(title, np.array(values, dtype=np.float64), log=dimension.kind == "loguniform")


def _measured(name: str, title: str, results: Sequence[TrialResult], log: bool) -> Scale:
    values = np.array([result.figures[name] for result in results])
    return _numbers(title, values, log=log and bool((values > 0).all()))


def _categories(title: str, values: Sequence[JsonValue]) -> Scale:
    known = sorted({shown(value): value for value in values}.items(), key=lambda entry: _order(entry[1]))
    names = [name for name, _ in known]
    heights = np.linspace(0, 1, len(names)) if len(names) > 1 else np.array([0.5])
    places = np.array([heights[names.index(shown(value))] for value in values])
    return Scale(title, places, list(zip(heights.tolist(), names, strict=True)))


def _order(value: JsonValue) -> tuple[int, str]:
    """Sort numbers and lists of them by size, the rest by name."""
    flat = value if isinstance(value, list) else [value]
    numbers = [float(entry) for entry in flat if isinstance(entry, int | float)]
    return int(1e6 * sum(numbers)), str(value)


def _numbers(title: str, values: np.ndarray, log: bool) -> Scale:
    scaled = np.log(values) if log and (values > 0).all() else values
    low, high = float(scaled.min()), float(scaled.max())
    if high - low < 1e-12:
        return Scale(title, np.full(len(values), 0.5), [(0.5, shown(float(values[0])))])
    inverse = np.exp if scaled is not values else np.asarray
    found = _round_numbers(float(inverse(low)), float(inverse(high)), scaled is not values)
    heights = [(float(np.log(tick)) if scaled is not values else tick) for tick in found]
    ticks = [((height - low) / (high - low), shown(tick)) for height, tick in zip(heights, found, strict=True)]
    return Scale(title, (scaled - low) / (high - low), ticks)


def _round_numbers(low: float, high: float, log: bool) -> list[float]:
    """Return round values between two, the two themselves where there are fewer than two."""
    locator = LogLocator(subs=(1, 2, 5), numticks=20) if log else MaxNLocator(MAX_TICKS)
    inside = [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]
    if len(inside) < 2:
        return [low, high]
    return inside[:: -(-len(inside) // MAX_TICKS)]
