"""A request on its way to the server: its head, its body, and what may have to be sent once more."""

from typing import TYPE_CHECKING

import h11

from mcp_client.executor.http.body import Piece, bypass, frame, tell
from mcp_client.executor.http.channel import Channel
from mcp_client.executor.http.fields import known_length, trailer_fields
from mcp_client.executor.http.link import Link
from mcp_client.executor.http.request_reader import RequestReader

if TYPE_CHECKING:
    from mcp_client.network.engine.pipe import Pipe

# RFC 9110, 9.2.2: sent twice they do what they do once. Any other may have been obeyed already.
_IDEMPOTENT = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PUT"})


class Outgoing:
    """``ended`` once nothing more is to be read for it; ``is_head`` if the answer is a head alone."""

    __slots__ = ("_head", "_held", "_left", "_pipe", "_reader", "ended", "is_get", "is_head")

    def __init__(self, head: h11.Request, reader: RequestReader) -> None:
        """``head`` is what the server gets, ``reader`` has the body."""
        self._head: h11.Request | None = head
        self._reader = reader
        self.is_get = head.method == b"GET"
        self.is_head = head.method == b"HEAD"
        # What was sent first, as long as it may have to be sent again.
        self._held: tuple[list[Piece], h11.EndOfMessage | None] | None = None
        # Of a body that says how long it is, and where its rest goes.
        self._left = known_length(head) or 0
        self._pipe: Pipe | None = None
        self.ended = False

    def take(self, link: Link) -> list[Piece]:
        """What there is to send now, the head first. Raises h11.RemoteProtocolError."""
        parts, end = self._held or self._take_body()
        connection = link.connection
        pieces: list[Piece] = []
        first = connection.our_state is h11.IDLE
        if first and self._head is not None:
            pieces += connection.send_with_data_passthrough(self._head) or []
        if parts:
            pieces += frame(connection, parts)
        if end is not None:
            self.ended = True
            trailer = h11.EndOfMessage(headers=trailer_fields(end))
            pieces += connection.send_with_data_passthrough(trailer) or []
        self._held = (parts, end) if first else None
        if parts and end is None:
            self._pipe = bypass(self._left, link.channel)
        return pieces

    def _take_body(self) -> tuple[list[Piece], h11.EndOfMessage | None]:
        parts, end = self._reader.take_body()
        self._left -= sum(map(len, parts))
        return parts, end

    @property
    def goes_unread(self) -> bool:
        """Whether the body goes on by :meth:`take_unread`; :meth:`take` has done its part."""
        return self._pipe is not None

    def take_unread(self, client: Channel, link: Link) -> bool:
        """Let more of the body come into the link's channel; whether it did. Raises OSError.

        And h11.RemoteProtocolError at an end that is too early.
        """
        pipe = self._pipe
        size = client.take(pipe) if pipe is not None else None
        if pipe is None or size is None:
            return False
        if not size:
            raise h11.RemoteProtocolError("the body is shorter than it said")
        if not pipe.left:
            self._pipe, self.ended = None, True
            tell(link.connection, pipe.total)
            self._reader.bypassed = True
        return True

    def note_sent(self) -> None:
        """Some of it was sent: of a body, no part is kept any longer."""
        if self._held is not None and (self._held[0] or self._held[1] is None):
            self._held = None

    def note_answered(self) -> None:
        """It has been understood, at least its head."""
        self._held = self._head = None

    def may_repeat(self, *, was_sent: bool) -> bool:
        """Whether it can be sent to another connection, although some of it may have arrived on this one."""
        if self._held is None or self._head is None:
            return False
        return not was_sent or self._head.method in _IDEMPOTENT

    def rewind(self) -> None:
        """All of it will be sent again."""
        self.ended = False

    def give_up(self) -> None:
        """The server takes no more of it."""
        self._pipe, self.ended = None, True
