"""Reads a server's answer as it comes in: its heads by h11, its body by h11 or in chunks."""

import h11

from mcp_client.executor.http.body import Piece
from mcp_client.executor.http.channel import LARGEST_COPY, LARGEST_READ
from mcp_client.executor.http.chunks import Chunks, body_of_answer
from mcp_client.executor.http.fields import STATUSES_WITHOUT_BODY, has_chunks
from mcp_client.executor.http.link import Link

Head = h11.InformationalResponse | h11.Response


class AnswerReader:
    """One answer; ``largest_read`` is how much should be read at a time, in bytes."""

    __slots__ = ("_chunks", "_is_head", "_link", "largest_read")

    def __init__(self, link: Link, *, is_head: bool) -> None:
        """``link`` has the request, ``is_head`` tells that it asked for a head alone."""
        self._link = link
        self._is_head = is_head
        self._chunks: Chunks | None = None
        self.largest_read = LARGEST_COPY

    def read(self, data: memoryview, heads: list[Head], parts: list[Piece]) -> h11.EndOfMessage | None:
        """Add what ``data`` has to ``heads`` and to ``parts``; empty, it is the connection's end.

        Parts may be views of ``data``. Raises h11.RemoteProtocolError; what was added is good all the same.
        """
        if self._chunks is not None:
            return self._read_chunks(self._chunks, data, parts)
        connection = self._link.connection
        # h11 adds any buffer to its own.
        connection.receive_data(data)  # type: ignore[arg-type]
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                parts.append(event.data)
            elif isinstance(event, h11.InformationalResponse):
                heads.append(event)
            elif isinstance(event, h11.Response):
                heads.append(event)
                if has_chunks(event) and event.status_code not in STATUSES_WITHOUT_BODY and not self._is_head:
                    return self._begin_chunks(parts)
            elif isinstance(event, h11.EndOfMessage):
                return event
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("there is no answer")
            else:
                return None

    def _begin_chunks(self, parts: list[Piece]) -> h11.EndOfMessage | None:
        self._chunks = Chunks(body_of_answer)
        self.largest_read = LARGEST_READ
        rest, _ = self._link.connection.trailing_data
        return self._read_chunks(self._chunks, memoryview(rest), parts) if rest else None

    def _read_chunks(self, chunks: Chunks, data: memoryview, parts: list[Piece]) -> h11.EndOfMessage | None:
        end = chunks.read(data, parts)
        self._link.bypassed = end is not None and not chunks.behind
        return end
