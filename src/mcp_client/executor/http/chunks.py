"""A body that comes in chunks (RFC 9112, 7.1), cut out of what was read without a copy.

h11 copies each byte three times, and takes longer for a small event than the server did. So what is plainly a
chunk is cut out here; from the first thing on that is not, be it the last chunk, an extension or a fault, h11
reads and decides. Nothing is taken that h11 would refuse, and what is taken is framed anew: there is no
second opinion about where a message ends.
"""

import re
from collections.abc import Callable

import h11

from mcp_client.executor.http.body import Piece
from mcp_client.executor.http.fields import LONGEST_HEAD

_END_OF_LINE = b"\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_BEGIN_OF_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}\r?")


class Chunks:
    """One body."""

    __slots__ = ("_begin", "_closing", "_left", "_line", "_rest")

    def __init__(self, begin: Callable[[], h11.Connection]) -> None:
        """Right behind the head; ``begin`` is one of the functions below."""
        self._begin = begin
        # So many bytes of this chunk are still to come, then these; and these began the next one.
        self._left = 0
        self._closing = self._line = b""
        self._rest: h11.Connection | None = None

    @property
    def behind(self) -> bytes:
        """What came behind it, once it has ended."""
        return b"" if self._rest is None else self._rest.trailing_data[0]

    def read(self, data: memoryview, parts: list[Piece]) -> h11.EndOfMessage | None:
        """Add what ``data`` has of the body, as views of ``data`` mostly; empty, it is the connection's end.

        Raises h11.RemoteProtocolError; what was added is good all the same.
        """
        if self._rest is None:
            rest = self._cut(data, parts) if data else data
            if rest is None:
                return None
            self._rest = self._begin()
        else:
            rest = data
        # h11 adds any buffer to its own.
        self._rest.receive_data(rest)  # type: ignore[arg-type]
        while isinstance(event := self._rest.next_event(), h11.Data):
            parts.append(event.data)
        return event if isinstance(event, h11.EndOfMessage) else None

    def _cut(self, data: memoryview, parts: list[Piece]) -> memoryview | None:
        """What is left for h11, None if that is nothing, at the moment."""
        if self._line:
            data, self._line = memoryview(self._line + data), b""
        at, end = self._go_on(data, parts), len(data)
        while at < end:
            match = _SIZE.match(data, at)
            if match is None and _BEGIN_OF_SIZE.fullmatch(data, at):
                self._line = bytes(data[at:])
                break
            if match is None or not (size := int(match[1], 16)):
                return data[at:]
            at, behind = match.end(), match.end() + size
            if data[behind : behind + 2] == _END_OF_LINE:
                parts.append(data[at:behind])
                at = behind + 2
            else:
                self._left, self._closing = size, _END_OF_LINE
                at = self._go_on(data[at:], parts) + at
        return None

    def _go_on(self, data: memoryview, parts: list[Piece]) -> int:
        """Take what belongs to the chunk that has begun; how much that was."""
        part = data[: self._left]
        if part:
            parts.append(part)
            self._left -= len(part)
        closing = data[len(part) : len(part) + len(self._closing)]
        if closing != self._closing[: len(closing)]:
            raise h11.RemoteProtocolError("a chunk is longer than it said")
        self._closing = self._closing[len(closing) :]
        return len(part) + len(closing)


def body_of_answer() -> h11.Connection:
    """h11 where the next thing is the size of a chunk, for a client."""
    connection = h11.Connection(h11.CLIENT, LONGEST_HEAD)
    connection.send(h11.Request(method="GET", target="/", headers=[(b"Host", b"localhost")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.next_event()
    return connection


def body_of_request() -> h11.Connection:
    """The same for a server."""
    connection = h11.Connection(h11.SERVER, LONGEST_HEAD)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.next_event()
    return connection
