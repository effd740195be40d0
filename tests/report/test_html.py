"""The page's pieces: all text is escaped, further lines are small, a warning has its colour."""

from pathlib import Path

from diffusegae.report import html
from diffusegae.report.html import WARNING, Cell, Row
from tests.report.conftest import parse

NASTY = '<img src=x onerror="alert(1)">&'
SAFE = "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;"


def test_whatever_is_named_is_escaped(tmp_path: Path) -> None:
    cell = Cell(f"{NASTY}\n{NASTY}\n{WARNING}{NASTY}", NASTY)
    table = html.table([cell], [Row(NASTY, [cell], NASTY)], NASTY, [cell])
    parts = [html.heading(NASTY), html.paragraph(NASTY), html.bullets([NASTY]), html.tile(NASTY, NASTY, NASTY), table,
             html.picture(NASTY, b"", NASTY), html.folded(NASTY, "x"), html.embedded(NASTY, b"", NASTY),
             html.line(NASTY, NASTY)]  # fmt: skip
    page = html.write_page(tmp_path, NASTY, parts).read_text()
    parse(page)
    assert "<img src=x" not in page
    assert page.count(SAFE) == 1 + 1 + 1 + 1 + 3 + 3 * 4 + 3 + 3 + 1 + 2 + 2


def test_lines_after_the_first_are_small_and_warnings_are_marked() -> None:
    assert html.table([], [Row("a\nb", [Cell(f"c\n{WARNING}d")])]).count("<small") == 2
    assert '<small class="warning">d</small>' in html.table([], [Row("a", [Cell(f"c\n{WARNING}d")])])


def test_groups_span_their_columns() -> None:
    table = html.table([Cell(""), Cell("x"), Cell("y")], [], groups=[Cell(""), Cell("both", "group", span=2)])
    assert '<th class="group" colspan="2">both</th>' in table
    assert parse(table).rows == [["", "both"], ["", "x", "y"]]


def test_nothing_is_left_out() -> None:
    assert html.paragraph("") == html.folded("title", "") == ""


def test_a_bar_is_as_long_as_its_share_and_its_end_is_marked() -> None:
    assert "--long: 25.00%; --marked: 40.00%" in html.bar(0.25, 0.1)
    assert "--long: 0.00%; --marked: 0.00%" in html.bar(0)
