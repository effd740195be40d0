"""Charts: lines as SVG in the page's light and dark, t-SNE as PNG."""

import io
import math
from collections.abc import Mapping, Sequence
from html import escape

from matplotlib import colormaps
from matplotlib.figure import Figure

from diffusegae.metrics.projection import Projection
from diffusegae.metrics.uncertainty import Interval

DPI = 110
WIDTH, HEIGHT, LABELS = 300, 110, 16
HUE, TURN = 207, 137  # the first line's colour; from one line's to the next, the golden angle
DASHES = ("none", "5 3", "1.5 2.5", "8 2 1.5 2")  # beside colours, for those who cannot tell them

Line = Mapping[float, Interval]  # x → value


def line_chart(title: str, lines: Mapping[str, Line], x_label: str, *, log: bool = False) -> str:
    """Draw a line per name and a bar for each interval; a logarithmic x has a tick at each of its values."""
    xs = sorted({x for line in lines.values() for x in line})
    values = [value for line in lines.values() for i in line.values() for value in (i.low, i.high)]
    bottom, top, place = min(values), max(values), math.log if log else float
    left, wide, tall = place(xs[0]), (place(xs[-1]) - place(xs[0])) or 1.0, (top - bottom) or 1.0

    def at(x: float, y: float) -> str:
        return f"{(place(x) - left) / wide * WIDTH:.1f},{(1 - (y - bottom) / tall) * HEIGHT:.1f}"

    drawn, names = [], []
    for number, (name, line) in enumerate(lines.items()):
        style = f"--hue: {(HUE + TURN * number) % 360}; stroke-dasharray: {DASHES[number % len(DASHES)]}"
        bars = " ".join(f"M{at(x, i.low)} L{at(x, i.high)}" for x, i in line.items() if i.low < i.high)
        points = f'<polyline points="{" ".join(at(x, i.mean) for x, i in line.items())}"/>'
        drawn.append(f'<g style="{style}">{points}<path d="{bars}"/></g>')
        key = f'<svg viewBox="0 0 24 6" style="{style}"><polyline points="0,3 24,3"/></svg>'
        names.append(f'<span class="key">{key}{escape(name)}</span>' if len(lines) > 1 else "")
    for x in xs if log else (xs[0], xs[-1]):
        end = "start" if x == xs[0] else "end" if x == xs[-1] else "middle"
        horizontal = at(x, bottom).split(",")[0]
        drawn.append(f'<text x="{horizontal}" y="{HEIGHT + LABELS}" text-anchor="{end}">{x:,g}</text>')
    frame = f'viewBox="0 -3 {WIDTH} {HEIGHT + LABELS + 6}" role="img" aria-label="{escape(title)}"'
    last = f", last {next(iter(lines.values()))[xs[-1]].mean:.4g}" if len(lines) == 1 else ""
    below = f'<div class="range"><span>{bottom:.4g} to {top:.4g}{last}</span><span>{escape(x_label)}</span></div>'
    return f'<div class="chart"><b>{escape(title)}</b><svg {frame}>{"".join(drawn)}</svg>{below}{"".join(names)}</div>'


def draw_projections(projections: Mapping[str, Projection], names: Sequence[str], *, max_values: int = 18) -> bytes:
    """Draw one row per named code and one column per attribute, coloured by its value; returns a PNG.

    Only the first `max_values` values of an attribute are coloured (the paper shows 18 of its backgrounds); the rest
    stay grey.
    """
    figure = Figure(figsize=(3.2 * len(names), 3.2 * len(projections) + 0.2), layout="constrained")
    every = figure.subplots(len(projections), len(names), squeeze=False)
    for line, (title, projection) in zip(every, projections.items(), strict=True):
        for a, (axes, name) in enumerate(zip(line, names, strict=True)):
            values, (x, y) = projection.labels[:, a], projection.points.T
            coloured = values < max_values
            axes.scatter(x[~coloured], y[~coloured], s=3, c="#dddddd", linewidths=0)
            axes.scatter(x[coloured], y[coloured], s=5, c=colormaps["tab20"](values[coloured] % 20), linewidths=0)
            axes.set_title(f"{title} by {name} (silhouette {projection.silhouettes[a]:+.2f})", fontsize=8)
            axes.set(xticks=[], yticks=[])
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()
