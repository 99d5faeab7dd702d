"""One request on its way to the server, and the answer on its way back.

Each side is read only while the other takes what was read before: at most one read of each is in memory.
"""

import time
from typing import TYPE_CHECKING

import h11

from mcp_client.executor.http.channel import LARGEST_READ
from mcp_client.executor.http.fields import (
    Refusal,
    answer_fields,
    request_fields,
    trailer_fields,
    values,
)
from mcp_client.executor.http.link import Link
from mcp_client.executor.http.services import Services
from mcp_client.network.linux.loop import READ

if TYPE_CHECKING:
    from mcp_client.executor.http.inbound import Inbound

# RFC 9110, 9.2.2: sent twice they do what they do once. Any other may have been obeyed already.
_IDEMPOTENT = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PUT"})
_NO_SERVER = Refusal(502, "", "the server does not answer")
_NO_CONNECTION = Refusal(504, "", "the server takes no connection")


class Exchange:
    """From a request that passed every check to the last byte of its answer, or to the end of either side."""

    __slots__ = (
        "_answered",
        "_held",
        "_inbound",
        "_link",
        "_request",
        "_retried",
        "_sent_before",
        "_services",
        "_ticket",
        "_upload_ended",
        "sized",
    )

    def __init__(self, services: Services, inbound: "Inbound", request: h11.Request) -> None:
        """Call :meth:`start` next."""
        self._services = services
        self._inbound = inbound
        fields = request_fields(request, services.port, has_token=services.guard.token is not None)
        self._request: h11.Request | None = h11.Request(
            method=request.method, target=request.target, headers=fields
        )
        self._link: Link | None = None
        self._ticket = 0
        # What was sent first, as long as it may have to be sent again.
        self._held: tuple[bytes, h11.EndOfMessage | None] | None = None
        self._sent_before = 0
        self._upload_ended = self._answered = self._retried = False
        # Whether the answer has begun and says how long it is.
        self.sized = False

    def start(self) -> None:
        """Ask for a connection to the server; everything may happen at once."""
        self._services.begin()
        self._seek(fresh=False)

    @property
    def wants_body(self) -> bool:
        """Whether the client is to be read."""
        return not self._upload_ended and self._link is not None and not self._link.channel.pending

    @property
    def is_held_up(self) -> bool:
        """Whether the server is slow to take the request."""
        return self._link is not None and bool(self._link.channel.pending)

    @property
    def streams(self) -> bool:
        """Whether the answer has begun, and nobody knows how long it will be."""
        return self._answered and not self.sized

    def settle(self) -> None:
        """Wait for what can go on."""
        if self._link is not None:
            self._link.channel.watch(0 if self._inbound.channel.pending else READ)

    def send_body(self) -> None:
        """Pass on what the client has sent, the head first."""
        link = self._link
        if link is None or link.channel.pending or self._upload_ended:
            return
        try:
            data, end = self._held or self._inbound.take_body()
        except h11.RemoteProtocolError as error:
            self._on_bad_body(error)
            return
        pieces: list[bytes] = []
        first = link.connection.our_state is h11.IDLE
        if first and self._request is not None:
            pieces += link.connection.send_with_data_passthrough(self._request) or []
        if data:
            pieces += link.connection.send_with_data_passthrough(h11.Data(data=data)) or []
        if end is not None:
            self._upload_ended = True
            trailer = h11.EndOfMessage(headers=trailer_fields(end))
            pieces += link.connection.send_with_data_passthrough(trailer) or []
        self._held = (data, end) if first else None
        if pieces:
            self._write(link, pieces)

    def abandon(self) -> None:
        """The client is gone: so is the connection to the server, at once."""
        self._services.counts.aborted += 1
        self._leave()

    def on_no_connection(self) -> None:
        """The server did not take the first byte in time."""
        self._fail(_NO_CONNECTION)
        self._inbound.settle()

    def _seek(self, *, fresh: bool) -> None:
        self._services.connecting.start(self, time.monotonic())
        self._ticket = self._services.pool.take(self._on_link, fresh=fresh)

    def _on_link(self, link: Link | None) -> None:
        if link is None:
            self._fail(_NO_SERVER)
        else:
            self._link = link
            self._sent_before = link.channel.sent
            link.attach(self._on_link_ready)
            self.send_body()
        self._inbound.settle()

    def _on_link_ready(self) -> None:
        try:
            self._move()
        except h11.LocalProtocolError:
            # A mistake of ours; it must not end the run.
            self._inbound.close()
        self._inbound.settle()

    def _move(self) -> None:
        link = self._link
        if link is not None and link.channel.pending:
            self._flush(link)
        if link is not None and self._link is link and not self._inbound.channel.pending:
            self._read(link)

    def _flush(self, link: Link) -> None:
        try:
            link.channel.flush()
        except OSError:
            self._on_write_error(link)
        else:
            self._note_sent(link)
            self.send_body()

    def _write(self, link: Link, pieces: list[bytes]) -> None:
        try:
            link.channel.write(pieces)
        except OSError:
            self._on_write_error(link)
        else:
            self._note_sent(link)

    def _note_sent(self, link: Link) -> None:
        if link.channel.sent > self._sent_before:
            self._services.connecting.stop(self)
            if self._upload_ended and not link.channel.pending:
                self._inbound.on_request_passed()
            if self._held is not None and (self._held[0] or self._held[1] is None):
                self._held = None

    def _on_write_error(self, link: Link) -> None:
        """The server may have answered before it closed; that is read first."""
        if self._may_retry(link):
            self._retry(link)
            return
        self._upload_ended = True
        link.channel.give_up()
        self._read(link)

    def _read(self, link: Link) -> None:
        try:
            data = link.channel.read(LARGEST_READ)
        except OSError:
            self._on_lost(link)
            return
        if data is not None:
            # h11 adds any buffer to its own.
            link.connection.receive_data(data)  # type: ignore[arg-type]
            self._pass_answer(link)

    def _pass_answer(self, link: Link) -> None:
        pieces: list[bytes] = []
        parts: list[bytes] = []
        try:
            end = self._take_answer(link, pieces, parts)
            lost = False
        except h11.RemoteProtocolError:
            end, lost = None, True
        if parts:
            pieces += self._inbound.answer.data(parts[0] if len(parts) == 1 else b"".join(parts))
        if end is not None:
            pieces += self._inbound.answer.end(trailer_fields(end))
        if pieces and not self._inbound.write(pieces):
            return
        if end is not None:
            self._finish(link)
        elif lost:
            self._on_lost(link)

    def _take_answer(self, link: Link, pieces: list[bytes], parts: list[bytes]) -> h11.EndOfMessage | None:
        """Heads go to ``pieces``, the body to ``parts``. Raises h11.RemoteProtocolError."""
        while True:
            event = link.connection.next_event()
            if isinstance(event, h11.Data):
                parts.append(event.data)
            elif isinstance(event, h11.Response):
                pieces += self._begin_answer(event)
            elif isinstance(event, h11.InformationalResponse):
                pieces += self._inbound.answer.interim(event.status_code, answer_fields(event), event.reason)
            elif isinstance(event, h11.EndOfMessage):
                return event
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("there is no answer")
            else:
                return None

    def _begin_answer(self, answer: h11.Response) -> list[bytes]:
        self._answered = True
        self._held = self._request = None
        self._services.connecting.stop(self)
        self._services.counts.answer(answer.status_code)
        fields = answer_fields(answer)
        self.sized = bool(values(answer, b"content-length")) and not values(answer, b"transfer-encoding")
        is_last = self._services.draining
        return self._inbound.answer.head(answer.status_code, fields, answer.reason, is_last=is_last)

    def _finish(self, link: Link) -> None:
        self._link = None
        self._services.pool.give_back(link)
        self._leave()
        self._inbound.on_answered()

    def _on_bad_body(self, error: h11.RemoteProtocolError) -> None:
        """The server sees an end in the middle of a request, or nothing of it."""
        refusal = Refusal(error.error_status_hint, "malformed body", "the body of the request is malformed")
        self._fail(refusal)

    def _on_lost(self, link: Link) -> None:
        if self._may_retry(link):
            self._retry(link)
        else:
            self._fail(_NO_SERVER)

    def _may_retry(self, link: Link) -> bool:
        """A kept connection may just have ended; a request that could have been obeyed is not repeated."""
        if not link.used or self._retried or self._answered or self._held is None or self._request is None:
            return False
        return link.channel.sent == self._sent_before or self._request.method in _IDEMPOTENT

    def _retry(self, link: Link) -> None:
        self._retried = True
        self._upload_ended = False
        self._link = None
        link.channel.close()
        self._seek(fresh=True)

    def _fail(self, refusal: Refusal) -> None:
        self._leave()
        self._services.counts.aborted += 1
        if self._answered:
            self._inbound.on_broken_answer()
        else:
            self._inbound.refuse(refusal)

    def _leave(self) -> None:
        self._services.connecting.stop(self)
        self._services.pool.cancel(self._ticket)
        if self._link is not None:
            self._link.channel.close()
            self._link = None
        self._services.end()
