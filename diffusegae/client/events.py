"""Server-sent events: bytes as they arrive on one side, whole events on the other (WHATWG HTML, section 9.2)."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Event:
    """One event: its name ("message" when the server gave none) and its data lines."""

    name: str
    data: str


class EventParser:
    """Takes a stream in pieces that may end anywhere, even between CR and LF, and returns the events they complete.

    An event that the stream ends within is dropped, as the standard demands: it may be cut.
    """

    def __init__(self) -> None:
        self._line = bytearray()  # a line of which the end has not come yet
        self._name, self._data = "", list[str]()
        self._after_return = False
        self._at_start = True

    def feed(self, piece: bytes) -> list[Event]:
        """Take the next bytes; return the events that are complete with them, in order."""
        if self._after_return and piece:  # the LF of a CR LF that a border went through ends no second line
            piece = piece.removeprefix(b"\n")
        self._after_return = piece.endswith(b"\r") or (self._after_return and not piece)
        found = []
        for part in piece.splitlines(keepends=True):  # bytes split at CR, LF and CR LF only
            self._line += part
            if part.endswith((b"\r", b"\n")):
                event = self._take(bytes(self._line).rstrip(b"\r\n"))
                self._line.clear()
                if event is not None:
                    found.append(event)
        return found

    def _take(self, line: bytes) -> Event | None:
        if self._at_start:
            line, self._at_start = line.removeprefix(BYTE_ORDER_MARK), False
        if not line:
            return self._finish()
        field, _, value = line.decode("utf-8", "replace").partition(":")  # a comment has the empty field name
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        return None

    def _finish(self) -> Event | None:
        name, data = self._name, self._data
        self._name, self._data = "", []
        return Event(name or "message", "\n".join(data)) if data else None


def read_events(pieces: Iterable[bytes]) -> Iterator[Event]:
    """Yield the events of a stream."""
    parser = EventParser()
    for piece in pieces:
        yield from parser.feed(piece)


async def read_events_async(pieces: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    """Yield the events of a stream."""
    parser = EventParser()
    async for piece in pieces:
        for event in parser.feed(piece):
            yield event
