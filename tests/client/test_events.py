from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from diffusegae.client.events import Event, EventParser, read_events

STREAM = (
    b'\xef\xbb\xbf: a comment\n\nevent: progress\ndata: {"a":\r\ndata:1}\r\n\r\n'
    b"data: caf\xc3\xa9\xe2\x80\xa8\r\rid: 7\nretry: 5\nevent: nothing\n\n"
    b"unknown: field\nevent:done\ndata\ndata: x: y\nevent\n\ndata: cut"
)
EVENTS = [Event("progress", '{"a":\n1}'), Event("message", "café\u2028"), Event("message", "\nx: y")]


def test_a_stream_in_one_piece() -> None:
    assert list(read_events([STREAM])) == EVENTS


def test_a_stream_byte_by_byte() -> None:
    assert list(read_events(STREAM[place : place + 1] for place in range(len(STREAM)))) == EVENTS


@settings(deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_borders_do_not_matter(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(borders)]
    assert list(read_events(pieces)) == EVENTS


def test_an_event_is_there_as_soon_as_its_empty_line() -> None:
    parser = EventParser()
    assert parser.feed(b"data: 1\r\n\r") == [Event("message", "1")]
    assert parser.feed(b"") == []
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: 2\n\n") == [Event("message", "2")]


def test_a_large_event_takes_time_in_proportion() -> None:
    piece = b"x" * 16_384
    parser = EventParser()
    assert parser.feed(b"data: ") == []
    for _ in range(1000):
        assert parser.feed(piece) == []
    (event,) = parser.feed(b"\n\n")
    assert len(event.data) == 16_384_000
