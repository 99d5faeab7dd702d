"""What is written to a client: the server's answer or one of ours, framed as the client understands it."""

from collections.abc import Sequence
from http import HTTPStatus

import h11

from mcp_client.executor.http.body import Piece, frame, tell
from mcp_client.executor.http.fields import Field, Refusal

_NO_CONTENT = 204
_CLOSE = (b"Connection", b"close")


class Answer:
    """One at a time, on one connection: all methods give bytes to send, and raise h11.LocalProtocolError."""

    __slots__ = ("_connection", "_fields", "_has_body", "old_client")

    def __init__(self, connection: h11.Connection) -> None:
        """``connection`` is the client's, which is read elsewhere."""
        self.renew(connection)

    def renew(self, connection: h11.Connection) -> None:
        """From now on this is what h11 knows of the client."""
        self._connection = connection
        self.begin(None, [])

    def begin(self, request: h11.Request | None, fields: list[Field]) -> None:
        """From now on it is for this request, None while there is none; ``fields`` are added to its head."""
        self._fields = fields
        self._has_body = request is None or request.method != b"HEAD"
        self.old_client = request is not None and request.http_version != b"1.1"

    def interim(self, status: int, fields: list[Field], reason: bytes) -> list[bytes]:
        """A 1xx answer; HTTP/1.0 has none (RFC 9110, 15.2)."""
        if self.old_client:
            return []
        return self._send(h11.InformationalResponse(status_code=status, headers=fields, reason=reason))

    def head(self, status: int, fields: list[Field], reason: bytes, *, is_last: bool) -> list[bytes]:
        """The head of the final answer; ``is_last`` tells that the connection ends with it."""
        fields = [*fields, *self._fields, *([_CLOSE] if is_last else [])]
        return self._send(h11.Response(status_code=status, headers=fields, reason=reason))

    def data(self, parts: Sequence[Piece]) -> list[Piece]:
        """More of the body."""
        return frame(self._connection, parts)

    def tell(self, size: int) -> None:
        """The last ``size`` bytes of the body went past this."""
        tell(self._connection, size)

    def end(self, trailer: list[Field]) -> list[bytes]:
        """The end of the body."""
        return self._send(h11.EndOfMessage(headers=[] if self.old_client else trailer))

    def refusal(self, refusal: Refusal, *, is_last: bool) -> list[Piece]:
        """A whole answer of ours."""
        text = f"mcp-client: {refusal.text}\n".encode() if refusal.text else b""
        fields = [*refusal.fields]
        if text:
            fields.append((b"Content-Type", b"text/plain; charset=utf-8"))
        if refusal.status != _NO_CONTENT:
            fields.append((b"Content-Length", b"%d" % len(text)))
        reason = HTTPStatus(refusal.status).phrase.encode()
        pieces: list[Piece] = [*self.head(refusal.status, fields, reason, is_last=is_last)]
        if text and self._has_body:
            pieces += self.data([text])
        return pieces + self.end([])

    def _send(self, event: h11.Event) -> list[bytes]:
        return self._connection.send_with_data_passthrough(event) or []
