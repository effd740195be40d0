"""Request bodies that are hostile as a whole, whatever the pictures in them."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from tests.serve.hostile_pictures import picture

JSON, FORM = "application/json", "multipart/form-data; boundary=x"
END = b"--x--\r\n"


def hostile_bodies() -> Iterator[tuple[str, bytes, str]]:
    """Yield (name, body, content type)."""
    for name, text in (json_texts() | as_texts(json_values())).items():
        yield name, text.encode(), JSON
    yield "not UTF-8", b'{"source": "\xff\xfe"}', JSON
    yield "UTF-16", "{}".encode("utf-16"), JSON
    yield "UTF-7", b"+AHsAfQ-", f"{JSON}; charset=utf-7"
    yield "unknown charset", b"{}", f"{JSON}; charset=nonsense"
    yield "two types", b"{}", f"{JSON}, text/html"
    yield "no type", b"{}", ""
    yield from ((name, body, FORM) for name, body in forms().items())
    good = field(b'name="source"')
    yield "no boundary", good + END, "multipart/form-data"
    yield "another boundary", good + END, "multipart/form-data; boundary=y"
    yield "long boundary", b"--" + b"y" * 5000, f"multipart/form-data; boundary={'y' * 5000}"


def json_texts() -> dict[str, str]:
    """Return texts that are no JSON, or JSON that no program writes."""
    return {
        "deep list": "[" * 100_000,
        "deep object": '{"source":' * 100_000,
        "closed deep list": "[" * 900 + "]" * 900,
        "long number": f'{{"seed": {"9" * 10_000}}}',
        "infinite number": '{"source": "", "seed": 1e999}',
        "twice": '{"source": "", "source": 1}',
        "text": '"text"',
        "null": "null",
        "empty": "",
        "NUL": "\0",
    }


def json_values() -> dict[str, Any]:
    """Return requests with wrong, far too many, or untypable keys and values."""
    good = base64.b64encode(picture("PNG")).decode()
    pair = {"source": good, "target": good}
    return {
        "not a number": {"source": good, "steps": float("nan")},
        "great seed": {"source": good, "x_T": "random", "seed": 2**200},
        "surrogate key": {"source": good, "\ud800": 1},
        "surrogate value": {"source": good, "x_T": "\ud800"},
        "surrogate attribute": {"source": good, "donors": {"\ud800": good}},
        "surrogate names": {**pair, "attributes": ["\ud800"]},
        "many names": {**pair, "attributes": ["letter"] * 100_000},
        "long name": {**pair, "attributes": ["k" * 1_000_000]},
        "NUL key": {"source": good, "\0": 1},
        "many keys": {f"key{number}": number for number in range(20_000)},
        "many donors": {"source": good, "donors": {f"key{number}": good for number in range(2000)}},
        "many bad donors": {"source": good, "donors": {f"key{number}": 1 for number in range(2000)}},
        "long key": {"k" * 1_000_000: 1},
        "long attribute": {"source": good, "donors": {"k" * 1_000_000: good}},
        "long value": {"source": good, "x_T": "k" * 1_000_000},
        "long steps": {"source": good, "steps": "9" * 4000},
    }


def as_texts(values: dict[str, Any]) -> dict[str, str]:
    """Write values as JSON, with escapes for what UTF-8 cannot hold."""
    return {name: json.dumps(value) for name, value in values.items()}


def field(disposition: bytes, content: bytes = b"x", headers: bytes = b"") -> bytes:
    """Return one field of a form."""
    return b"--x\r\nContent-Disposition: form-data; " + disposition + headers + b"\r\n\r\n" + content + b"\r\n"


def forms() -> dict[str, bytes]:
    """Return forms that are broken, odd or far too large."""
    source = b'name="source"'
    result = {
        "unfinished": field(source),
        "no name": field(b"") + END,
        "no disposition": b"--x\r\n\r\nx\r\n" + END,
        "no end of the head": b"--x\r\nContent-Disposition: form-data; " + source,
        "long head": field(source + b"; filename=" + b"a" * 100_000) + END,
        "many heads": field(source, headers=b"\r\nX: y" * 5000) + END,
        "charset": field(source, b"\xe9") + field(b"name=_charset_", b"nonsense") + END,
        "not UTF-8": field(source, b"\xff\xfe") + END,
        "nested": field(source, b"--z\r\n\r\nx\r\n--z--", b"\r\nContent-Type: multipart/mixed; boundary=z") + END,
        "many fields": b"".join(field(b'name="donors.k%d"' % number) for number in range(3000)) + END,
        "many files": b"".join(field(b'name="donors.k%d"; filename="a"' % number) for number in range(1500)) + END,
        "long field": field(b'name="x_T"', b"a" * 1_500_000) + END,
        "long name": field(b'name="%s"; filename="a"' % (b"k" * 7000)) + END,
        "nothing": END,
        "only noise": b"\xff" * 1000,
    }
    for name in (
        b"donors.",
        b".",
        b"donors.letter.x",
        b"",
        b"\xff",
        b"donors",
        b"attributes.x",
        b"x_T.a",
        b"__class__",
    ):
        upload = field(b'name="%s"; filename="a"' % name)
        result[f"named {name.decode('latin-1')}"] = field(source) + upload + END
        result[f"named {name.decode('latin-1')} twice"] = upload * 2 + END
    return result
