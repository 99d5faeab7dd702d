"""Reads a client's requests, one after the other: h11 reads, ``fields`` refuses some of it."""

import h11

from mcp_client.executor.http.fields import LONGEST_HEAD, Refusal, check_head, check_partial_head


class RequestReader:
    """``connection`` is h11's part of it, for the answers.

    ``bypassed`` tells that the rest of this request has been read by somebody else.
    """

    __slots__ = ("_head", "bypassed", "connection")

    def __init__(self) -> None:
        """Nothing has been read."""
        self.connection = h11.Connection(h11.SERVER, LONGEST_HEAD)
        self._head = bytearray()
        self.bypassed = False

    @property
    def has_begun(self) -> bool:
        """Whether some of a head has been read, and not all of it."""
        return bool(self._head)

    @property
    def room(self) -> int:
        """How much of a head is to be read at most, and one byte to notice that it is too much."""
        return LONGEST_HEAD + 1 - len(self._head)

    def add_head(self, data: memoryview | bytes) -> None:
        """Of a head, and maybe of what follows; empty, it is the end of the connection."""
        self._head += data
        self.add(data)

    def add(self, data: memoryview | bytes) -> None:
        """Of a body; empty, it is the end of the connection."""
        # h11 adds any buffer to its own.
        self.connection.receive_data(data)  # type: ignore[arg-type]

    def next(self) -> tuple[h11.Request | h11.ConnectionClosed | None, Refusal | None]:
        """A request, or the end, or nothing yet; and why it is not passed on, whatever it is."""
        try:
            event = self.connection.next_event()
        except h11.RemoteProtocolError as error:
            malformed = Refusal(error.error_status_hint, "malformed", "the request is malformed")
            return None, check_partial_head(self._head) or malformed
        if isinstance(event, h11.Request):
            rest = len(self.connection.trailing_data[0])
            head, self._head = self._head[: len(self._head) - rest], bytearray()
            return event, check_head(head, event)
        if isinstance(event, h11.ConnectionClosed):
            return event, None
        return None, check_partial_head(self._head)

    def take_body(self) -> tuple[list[bytes], h11.EndOfMessage | None]:
        """What there is of the body, and its end. Raises h11.RemoteProtocolError."""
        parts: list[bytes] = []
        while isinstance(event := self.connection.next_event(), h11.Data):
            parts.append(event.data)
        return parts, event if isinstance(event, h11.EndOfMessage) else None

    def is_complete(self) -> bool:
        """Whether all of the request has been read, so that the next byte is that of another one."""
        if self.connection.their_state is h11.SEND_BODY:
            try:
                self.take_body()
            except h11.RemoteProtocolError:
                return False
        return self.connection.their_state not in {h11.SEND_BODY, h11.ERROR}

    def renew(self) -> bool:
        """Go on to the next request; False if there cannot be one."""
        connection = self.connection
        if connection.our_state is not h11.DONE:
            return False
        if self.bypassed:
            self.connection = h11.Connection(h11.SERVER, LONGEST_HEAD)
            self.bypassed = False
        elif connection.their_state is h11.DONE:
            connection.start_next_cycle()
            self._head += connection.trailing_data[0]
        else:
            return False
        return True
