"""A line chart of several series with their legend, as SVG inside the page; it follows the page's light and dark."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34
# Of middle lightness, so that they show on white and on black; a pattern besides, for those who cannot tell colours.
COLOURS = ("#1a7fd0", "#d1582d", "#2a9a5a", "#9a6bd0", "#c99a1a", "#cf4b86", "#2aa5a5", "#7d858d")
DASHES = ("", "6 3", "2 3", "8 3 2 3")
STYLE = """
.lines { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8rem; margin: .8rem 0;
  max-width: 600px; }
.lines svg { display: block; width: 100%; height: auto; }
.lines text { fill: var(--soft); font-size: 11px; font-family: inherit; }
.lines .grid { stroke: var(--line); stroke-width: 1; }
.lines polyline, .lines .bar { fill: none; stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .85rem; margin-top: .4rem; }
.legend span { display: inline-flex; align-items: center; gap: .4rem; }
.legend svg { width: 26px; height: 8px; flex: none; }
"""


@dataclass(frozen=True)
class Point:
    """A point of a series; `spread` is drawn as a bar above and below, 0 for none."""

    x: float
    y: float
    spread: float = 0.0


def draw_lines(name: str, series: Mapping[str, Sequence[Point]], x_label: str) -> str:
    """Return a chart with a logarithmic x axis that has a tick at every x."""
    points = [point for line in series.values() for point in line]
    xs = sorted({point.x for point in points})
    low, high = min(point.y - point.spread for point in points), max(point.y + point.spread for point in points)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    ticks = _ticks(low - margin, high + margin)
    low, high = min(low - margin, ticks[0]), max(high + margin, ticks[-1])
    start, span = math.log(xs[0]), (math.log(xs[-1]) - math.log(xs[0])) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log(x) - start) / span if len(xs) > 1 else 0.5
        return LEFT + across * (WIDTH - LEFT - RIGHT), TOP + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in ticks:
        _, y = place(xs[0], tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.4g}</text>')
    for value in xs:
        x, _ = place(value, low)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{value:g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_label)}</text>'
    )
    for number, line in enumerate(series.values()):
        parts.append(_draw_line(line, number, place))
    frame = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}"'
    return f'<div class="lines"><svg {frame}>{"".join(parts)}</svg>{_legend(list(series))}</div>'


def _draw_line(line: Sequence[Point], number: int, place: Callable[[float, float], tuple[float, float]]) -> str:
    stroke = _stroke(number)
    places = [(place(point.x, point.y), point) for point in sorted(line, key=lambda point: point.x)]
    path = " ".join(f"{x:.1f},{y:.1f}" for (x, y), _ in places)
    parts = [f'<polyline points="{path}" {stroke}/>']
    for (x, y), point in places:
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[number % len(COLOURS)]}"/>')
        if point.spread > 0:
            (_, top), (_, bottom) = place(point.x, point.y + point.spread), place(point.x, point.y - point.spread)
            colour = COLOURS[number % len(COLOURS)]
            parts.append(
                f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" stroke="{colour}"/>'
            )
    return "".join(parts)


def _legend(names: Sequence[str]) -> str:
    entries = [
        f'<span><svg viewBox="0 0 26 8"><line x1="0" x2="26" y1="4" y2="4" stroke-width="2.5" {_stroke(number)}/></svg>'
        f"{escape(name)}</span>"
        for number, name in enumerate(names)
    ]
    return f'<div class="legend">{"".join(entries)}</div>'


def _stroke(number: int) -> str:
    dash = DASHES[number % len(DASHES)]
    pattern = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{COLOURS[number % len(COLOURS)]}"{pattern}'


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round values between low and high."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]
