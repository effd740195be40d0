"""The pieces of a self-contained HTML page: its style, tables and figures; all text is escaped here."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

WARNING = "! "


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
    path = folder / "report.html"
    path.write_text(make_page(title, body), encoding="utf-8")
    return path


def make_page(title: str, body: Iterable[str]) -> str:
    """Return a page that needs no other file."""
    style = (files("diffusegae.report") / "page.css").read_text(encoding="utf-8")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style>"
    )
    content = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{content}\n</main></body></html>\n'


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
    image = f'<div class="scroll" tabindex="0">{embedded(title, png)}</div>'
    return f"{heading(title, 3)}<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def embedded(text: str, data: bytes, classes: str = "") -> str:
    """Return a picture, given as PNG or WebP, inside the page as a data URI; `text` stands for it."""
    kind = "webp" if data.startswith(b"RIFF") else "png"
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img{_class(classes)} alt="{escape(text)}" src="{source}">'


def line(text: str, classes: str = "") -> str:
    """Return a line of text as a division."""
    return f"<div{_class(classes)}>{escape(text)}</div>"


def bar(share: float, marked: float = 0.0) -> str:
    """Return a bar as long as a share, the last part of it `marked` (a share of the same whole)."""
    lengths = f"--long: {100 * share:.2f}%; --marked: {100 * marked / share if share else 0:.2f}%"
    return f'<div class="bar"><i style="{lengths}"></i></div>'


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
