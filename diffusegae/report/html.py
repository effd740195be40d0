"""The pieces of a self-contained HTML page: its style, tables and figures; all text is escaped here."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WARNING = "! "
STYLE = """
:root { color-scheme: light dark; --ground: #fbfbf9; --card: #fff; --ink: #1d2125; --soft: #666d75; --line: #e2e2dc;
  --accent: #1a6fb5; --good: #18794e; --bad: #b3261e; --heat: 26, 111, 181; --light: 42%; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --card: #1d2125; --ink: #e8e9ea; --soft: #9aa3ab;
  --line: #32383e; --accent: #6db3f2; --good: #57c78f; --bad: #f28b82; --heat: 74, 144, 217; --light: 66%; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p, li, figcaption { max-width: 46rem; margin: .4rem 0; }
.soft, figcaption, caption, small, .note, tr.guess > * { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(155px, 1fr)); gap: .75rem; margin: 1.4rem 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 1rem; }
.charts.single { max-width: 460px; grid-template-columns: 1fr; }
.tile, .chart, pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .75rem;
  line-height: 1.35; font-size: .82rem; overflow-x: auto; }
.tile .value { font-size: 1.55rem; font-weight: 650; }
.scroll { overflow-x: auto; margin: .6rem 0 1.1rem; }
table { border-collapse: separate; border-spacing: 0; font-size: .84rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .28rem .5rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
thead th { color: var(--soft); max-width: 9rem; line-height: 1.25; vertical-align: bottom; }
thead th.group { text-align: center; color: var(--ink); min-width: 5.5rem; }
th:first-child { position: sticky; left: 0; background: var(--ground); text-align: left; padding-left: 0;
  font-weight: 500; min-width: 8rem; max-width: 16rem; }
.first, .group { border-left: 1px solid var(--line); }
td.better, td.worse, td.own { font-weight: 700; }
td.better { color: var(--good); }
td.worse, small.warning { color: var(--bad); }
.text { text-align: left; white-space: normal; min-width: 16rem; max-width: 34rem; }
small { display: block; font-size: .82em; font-weight: 400; line-height: 1.3; }
figure { margin: 1rem 0 1.6rem; font-size: .9rem; }
figure img { display: block; max-width: min(100%, 900px); height: auto; border-radius: 8px; border: 6px solid #fff; }
@media (max-width: 700px) { figure img { max-width: none; } main { padding-top: 1.2rem; } h1 { font-size: 1.4rem; }
  th:first-child { min-width: 6.5rem; max-width: 8rem; } }
.chart > svg { display: block; width: 100%; height: auto; overflow: visible; margin: .4rem 0; }
.chart polyline, .chart path { fill: none; stroke: hsl(var(--hue) 65% var(--light)); stroke-width: 1.6;
  vector-effect: non-scaling-stroke; }
.chart text { font-size: 9px; fill: var(--soft); }
.chart b { overflow-wrap: anywhere; }
.range { display: flex; justify-content: space-between; gap: 1rem; color: var(--soft); }
.key { margin-right: 1rem; white-space: nowrap; }
.key svg { width: 24px; height: 6px; margin-right: .35rem; vertical-align: middle; }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--accent); }
.wide { width: max-content; min-width: 100%; max-width: calc(50vw + min(50vw, 540px) - 2.2rem); }
.pair { display: flex; flex-wrap: wrap; gap: 0 1.2rem; }
.pair table { font-size: .78rem; }
.pair td { padding: .25rem .35rem; }
.pair .scroll { max-width: 100%; }
.pair th:first-child { min-width: 4.5rem; }
"""


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, CSS classes, how strongly it is tinted (0 to 1), and how many columns it spans.

    Lines of the text after the first are set small; one that begins with WARNING is set in its colour.
    """

    text: str
    classes: str = ""
    tint: float = 0.0
    span: int = 1


@dataclass(frozen=True)
class Row:
    """One row of a table: its heading and cells."""

    heading: str
    cells: Sequence[Cell]
    classes: str = ""


def write_page(folder: Path, title: str, body: Iterable[str]) -> Path:
    """Write report.html, which needs no other file, into a folder; return its path."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    content, path = "\n".join(body), folder / "report.html"
    document = f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{content}\n</main></body></html>\n'
    path.write_text(document, encoding="utf-8")
    return path


def heading(text: str, level: int = 2) -> str:
    """Return a heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, classes: str = "") -> str:
    """Return a paragraph; nothing of an empty text."""
    return f"<p{_class(classes)}>{escape(text)}</p>" if text else ""


def bullets(items: Iterable[str]) -> str:
    """Return a list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def tile(label: str, value: str, note: str) -> str:
    """Return a headline figure."""
    parts = (("label", label), ("value", value), ("note", note))
    return '<div class="tile">' + "".join(f'<div class="{c}">{escape(text)}</div>' for c, text in parts) + "</div>"


def table(header: Sequence[Cell], rows: Iterable[Row], caption: str = "", groups: Sequence[Cell] = ()) -> str:
    """Return a table that scrolls sideways where the screen is narrow; `groups` is a row above the header."""
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = "".join(f"<tr>{''.join(_cell(cell, 'th') for cell in line)}</tr>" for line in (groups, header) if line)
    body = "".join(
        f"<tr{_class(row.classes)}><th>{_lines(row.heading)}</th>{''.join(_cell(cell) for cell in row.cells)}</tr>"
        for row in rows
    )
    content = f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{content}</div>'


def picture(title: str, png: bytes, caption: str) -> str:
    """Return a picture under its heading, inside the page as a data URI."""
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    image = f'<div class="scroll" tabindex="0"><img alt="{escape(title)}" src="{source}"></div>'
    return f"{heading(title, 3)}<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def block(classes: str, parts: Iterable[str]) -> str:
    """Return a division around ready HTML."""
    return f"<div{_class(classes)}>{''.join(parts)}</div>"


def folded(summary: str, content: str, *, is_open: bool = False) -> str:
    """Return ready HTML that opens on request; nothing if there is none."""
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{escape(summary)}</summary>{content}</details>" if content else ""


def _cell(cell: Cell, tag: str = "td") -> str:
    tint = f' style="background: rgba(var(--heat), {cell.tint:.2f})"' if cell.tint > 0 else ""
    span = f' colspan="{cell.span}"' if cell.span > 1 else ""
    return f"<{tag}{_class(cell.classes)}{span}{tint}>{_lines(cell.text)}</{tag}>"


def _lines(text: str) -> str:
    first, *others = text.split("\n")
    small = (
        f'<small class="warning">{escape(line.removeprefix(WARNING))}</small>'
        if line.startswith(WARNING)
        else f"<small>{escape(line)}</small>"
        for line in others
    )
    return escape(first) + "".join(small)


def _class(classes: str) -> str:
    return f' class="{escape(classes)}"' if classes else ""
