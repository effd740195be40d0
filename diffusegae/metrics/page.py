"""The pieces of a self-contained HTML page: its style, tables, figures and line charts; all text is escaped here."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { color-scheme: light dark; --ground: #fbfbf9; --card: #ffffff; --ink: #1d2125; --soft: #666d75;
  --line: #e2e2dc; --accent: #1a6fb5; --good: #18794e; --bad: #b3261e; --heat: 26, 111, 181; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --card: #1d2125; --ink: #e8e9ea; --soft: #9aa3ab;
  --line: #32383e; --accent: #6db3f2; --good: #57c78f; --bad: #f28b82; --heat: 74, 144, 217; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
.soft, figcaption, caption { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(155px, 1fr)); gap: .75rem; margin: 1.4rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8rem .95rem; }
.tile .label { font-size: .82rem; color: var(--soft); line-height: 1.3; }
.tile .value { font-size: 1.55rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.3; }
.tile .note { font-size: .8rem; color: var(--soft); }
.scroll { overflow-x: auto; margin: .6rem 0 1.1rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 0 1.6rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .94rem; }
caption { text-align: left; font-size: .87rem; padding-bottom: .3rem; }
th, td { padding: .32rem .75rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; }
th:first-child { text-align: left; font-weight: 500; }
thead th { color: var(--soft); font-size: .85rem; font-weight: 600; vertical-align: bottom; }
td.better { color: var(--good); font-weight: 700; }
td.worse { color: var(--bad); font-weight: 700; }
td.reference, th.reference { color: var(--soft); border-left: 1px dashed var(--line); }
tr.guess th, tr.guess td { color: var(--soft); }
td.own { font-weight: 700; }
figure { margin: 1rem 0 1.6rem; }
figcaption { font-size: .9rem; max-width: 46rem; margin-top: .4rem; }
figure img { display: block; max-width: min(100%, 900px); height: auto; border-radius: 8px; background: #fff;
  border: 6px solid #fff; }
@media (max-width: 700px) { figure img { max-width: none; } main { padding-top: 1.2rem; } h1 { font-size: 1.4rem; } }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 1rem; }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .7rem .8rem; }
.chart svg { display: block; width: 100%; height: auto; }
.chart polyline { fill: none; stroke: var(--accent); stroke-width: 1.6; vector-effect: non-scaling-stroke; }
.chart .name { font-size: .85rem; font-weight: 600; overflow-wrap: anywhere; }
.chart .range { display: flex; justify-content: space-between; font-size: .75rem; color: var(--soft); }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--accent); }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem;
  font-size: .82rem; line-height: 1.45; }
li { margin: .25rem 0; max-width: 46rem; }
"""


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, CSS classes, and how strongly it is tinted (0 to 1)."""

    text: str
    classes: str = ""
    tint: float = 0.0


@dataclass(frozen=True)
class Row:
    """One row of a table: its heading and cells."""

    heading: str
    cells: Sequence[Cell]
    classes: str = ""


def page(title: str, body: Iterable[str], style: str = "") -> str:
    """Return a whole HTML document that needs no other file; `style` is CSS beside STYLE."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style>"
    )
    content = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{content}\n</main></body></html>\n'


def heading(text: str, level: int = 2) -> str:
    """Return a heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, classes: str = "") -> str:
    """Return a paragraph."""
    return f"<p{_class(classes)}>{escape(text)}</p>"


def bullets(items: Iterable[str]) -> str:
    """Return a list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def tile(label: str, value: str, note: str) -> str:
    """Return a headline figure."""
    parts = (("label", label), ("value", value), ("note", note))
    return '<div class="tile">' + "".join(f'<div class="{c}">{escape(text)}</div>' for c, text in parts) + "</div>"


def table(header: Sequence[Cell], rows: Iterable[Row], caption: str = "") -> str:
    """Return a table that scrolls sideways where the screen is narrow."""
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = "".join(f"<th{_class(cell.classes)}>{escape(cell.text)}</th>" for cell in header)
    body = "".join(
        f"<tr{_class(row.classes)}><th>{escape(row.heading)}</th>{''.join(_cell(cell) for cell in row.cells)}</tr>"
        for row in rows
    )
    content = f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{content}</div>'


def picture(png: bytes, alt: str, caption: str) -> str:
    """Return a picture inside the page, as a data URI."""
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    image = f'<div class="scroll" tabindex="0"><img alt="{escape(alt)}" src="{source}"></div>'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def line_chart(name: str, points: Sequence[tuple[float, float]]) -> str:
    """Return a small line chart of (samples seen, value) with its range written below."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    width, height, left, bottom = 300, 110, min(xs), min(ys)
    wide, tall = (max(xs) - left) or 1.0, (max(ys) - bottom) or 1.0
    path = " ".join(f"{(x - left) / wide * width:.1f},{(1 - (y - bottom) / tall) * height:.1f}" for x, y in points)
    frame = f'viewBox="0 -3 {width} {height + 6}" role="img" aria-label="{escape(name)}"'
    svg = f'<svg {frame}><polyline points="{path}"/></svg>'
    values = f"{bottom:.4g} to {max(ys):.4g}, last {ys[-1]:.4g}"
    below = f'<div class="range"><span>{values}</span><span>{max(xs):,.0f} samples</span></div>'
    return f'<div class="chart"><div class="name">{escape(name)}</div>{svg}{below}</div>'


def block(classes: str, parts: Iterable[str]) -> str:
    """Return a division around ready HTML."""
    return f"<div{_class(classes)}>{''.join(parts)}</div>"


def folded(summary: str, text: str) -> str:
    """Return preformatted text that opens on request."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def _cell(cell: Cell) -> str:
    tint = f' style="background: rgba(var(--heat), {cell.tint:.2f})"' if cell.tint > 0 else ""
    return f"<td{_class(cell.classes)}{tint}>{escape(cell.text)}</td>"


def _class(classes: str) -> str:
    return f' class="{escape(classes)}"' if classes else ""
