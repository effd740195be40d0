"""The page's files as they are, without a browser: nothing inline, nothing from elsewhere, no word of a data set."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

PAGE = Path(__file__).parents[3] / "serve" / "page"
FILES = sorted(PAGE.iterdir())


def test_every_file_is_served_and_every_reference_is_a_file(client: TestClient) -> None:
    html = client.get("/").text
    assert html == (PAGE / "index.html").read_text()
    references = set(re.findall(r'(?:src|href)="page/([^"]+)"', html))
    for path in FILES:
        assert client.get(f"/page/{path.name}").content == path.read_bytes()
        references |= set(re.findall(r'from "\./([^"]+)"', path.read_text()))
        references |= set(re.findall(r'url\("([^"]+)"\)', path.read_text()))
    assert references | {"index.html"} == {path.name for path in FILES}


def test_nothing_is_inline_so_that_the_policy_can_be_strict() -> None:
    html = (PAGE / "index.html").read_text()
    assert all(not text.strip() for text in re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL))
    assert "<style" not in html
    assert not re.search(r"\s(style|on\w+)=", html)
    assert not [path.name for path in FILES if re.search(r"\beval\(|new Function|innerHTML", path.read_text())]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_readable_and_knows_no_data_set(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    if path.suffix == ".js":
        assert text.startswith("// ")
        assert not re.search(r"\b(identity|background|pose)\b", text)
