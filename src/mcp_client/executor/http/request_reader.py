"""Reads a client's requests, one after the other: h11 or Chunks read, ``fields`` refuses some of it."""

import h11

from mcp_client.executor.http.body import Piece
from mcp_client.executor.http.channel import LARGEST_COPY
from mcp_client.executor.http.chunks import Chunks, body_of_request
from mcp_client.executor.http.fields import LONGEST_HEAD, Refusal, check_head, check_partial_head, has_chunks

# Requests that follow a body are copied once for each of them, so there must not be too many.
_LARGEST_CHUNKS = 256 << 10


class RequestReader:
    """``connection`` is h11's part of it, for the answers.

    ``bypassed`` tells that the rest of this request has been read by somebody else.
    """

    __slots__ = ("_arrived", "_chunks", "_head", "bypassed", "connection")

    def __init__(self) -> None:
        """Nothing has been read."""
        self.connection = h11.Connection(h11.SERVER, LONGEST_HEAD)
        self._head = bytearray()
        # The body of this request, if it comes in chunks, and what it has not read.
        self._chunks: Chunks | None = None
        self._arrived: list[memoryview] = []
        self.bypassed = False

    @property
    def has_begun(self) -> bool:
        """Whether some of a head has been read, and not all of it."""
        return bool(self._head)

    @property
    def room(self) -> int:
        """How much of a head is to be read at most, and one byte to notice that it is too much."""
        return LONGEST_HEAD + 1 - len(self._head)

    @property
    def largest_read(self) -> int:
        """How much of a body should be read at a time, in bytes."""
        return LARGEST_COPY if self._chunks is None else _LARGEST_CHUNKS

    def add_head(self, data: memoryview | bytes) -> None:
        """Of a head, and maybe of what follows; empty, it is the end of the connection."""
        self._head += data
        # h11 adds any buffer to its own.
        self.connection.receive_data(data)  # type: ignore[arg-type]

    def add(self, data: memoryview) -> None:
        """Of a body; empty, it is the end of the connection. To be taken before ``data`` changes."""
        if self._chunks is None:
            self.connection.receive_data(data)  # type: ignore[arg-type]
        else:
            self._arrived.append(data)

    def next(self) -> tuple[h11.Request | h11.ConnectionClosed | None, Refusal | None]:
        """A request, or the end, or nothing yet; and why it is not passed on, whatever it is."""
        try:
            event = self.connection.next_event()
        except h11.RemoteProtocolError as error:
            malformed = Refusal(error.error_status_hint, "malformed", "the request is malformed")
            return None, check_partial_head(self._head) or malformed
        if isinstance(event, h11.Request):
            rest, _ = self.connection.trailing_data
            head, self._head = self._head[: len(self._head) - len(rest)], bytearray()
            if has_chunks(event):
                self._chunks, self._arrived = Chunks(body_of_request), [memoryview(rest)] if rest else []
            return event, check_head(head, event)
        if isinstance(event, h11.ConnectionClosed):
            return event, None
        return None, check_partial_head(self._head)

    def take_body(self) -> tuple[list[Piece], h11.EndOfMessage | None]:
        """What there is of the body, and its end. Raises h11.RemoteProtocolError."""
        parts: list[Piece] = []
        if self._chunks is not None:
            return parts, self._take_chunks(self._chunks, parts)
        while isinstance(event := self.connection.next_event(), h11.Data):
            parts.append(event.data)
        return parts, event if isinstance(event, h11.EndOfMessage) else None

    def _take_chunks(self, chunks: Chunks, parts: list[Piece]) -> h11.EndOfMessage | None:
        arrived, self._arrived = self._arrived, []
        for data in arrived:
            if (end := chunks.read(data, parts)) is not None:
                self.bypassed = True
                return end
        return None

    def is_complete(self) -> bool:
        """Whether all of the request has been read, so that the next byte is that of another one."""
        if self.connection.their_state is h11.SEND_BODY and not self.bypassed:
            try:
                _, end = self.take_body()
            except h11.RemoteProtocolError:
                return False
            return end is not None
        return self.connection.their_state is not h11.ERROR

    def renew(self) -> bool:
        """Go on to the next request; False if there cannot be one."""
        connection = self.connection
        if connection.our_state is not h11.DONE:
            return False
        if self.bypassed:
            behind = b"" if self._chunks is None else self._chunks.behind
            self.connection = h11.Connection(h11.SERVER, LONGEST_HEAD)
            self._chunks = None
            self.bypassed = False
            if behind:
                self.add_head(behind)
        elif connection.their_state is h11.DONE:
            connection.start_next_cycle()
            self._head += connection.trailing_data[0]
        else:
            return False
        return True
