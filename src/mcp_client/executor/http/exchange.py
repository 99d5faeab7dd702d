"""One request and its answer: each side is read only while the other takes what was read before."""

import time
from typing import TYPE_CHECKING

import h11

from mcp_client.executor.http.answer_reader import AnswerReader, Head
from mcp_client.executor.http.body import Piece, bypass
from mcp_client.executor.http.fields import (
    Refusal,
    answer_fields,
    is_feed,
    known_length,
    request_fields,
    trailer_fields,
)
from mcp_client.executor.http.link import Link
from mcp_client.executor.http.outgoing import Outgoing
from mcp_client.executor.http.services import Services
from mcp_client.network.engine.loop import READ

if TYPE_CHECKING:
    from mcp_client.executor.http.inbound import Inbound
    from mcp_client.network.engine.pipe import Pipe

_NO_SERVER = Refusal(502, "", "the server does not answer")
_NO_CONNECTION = Refusal(504, "", "the server takes no connection")


class Exchange:
    """From a request that passed every check to the last byte of its answer, or to the end of either side."""

    __slots__ = (
        "_answer_left",
        "_answered",
        "_download",
        "_inbound",
        "_is_feed",
        "_link",
        "_outgoing",
        "_reader",
        "_retried",
        "_sent_before",
        "_services",
        "_ticket",
        "sized",
    )

    def __init__(self, services: Services, inbound: "Inbound", request: h11.Request) -> None:
        """Call :meth:`start` next."""
        self._services = services
        self._inbound = inbound
        fields = request_fields(request, services.port, has_token=services.guard.token is not None)
        head = h11.Request(method=request.method, target=request.target, headers=fields)
        self._outgoing = Outgoing(head, inbound.reader)
        self._link: Link | None = None
        self._reader: AnswerReader  # together with the link
        self._ticket = self._sent_before = 0
        self._answered = self._retried = self._is_feed = False
        # Whether the answer has begun and says how long it is; how much is still to come, and where it goes.
        self.sized, self._answer_left = False, 0
        self._download: Pipe | None = None

    def start(self) -> None:
        """Ask for a connection to the server; everything may happen at once."""
        self._services.begin()
        self._seek(fresh=False)

    @property
    def wants_body(self) -> bool:
        """Whether the client is to be read."""
        return not self._outgoing.ended and self._link is not None and not self._link.channel.pending

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
        if link is None or link.channel.pending or self._outgoing.ended:
            return
        try:
            pieces = self._outgoing.take(link)
        except h11.RemoteProtocolError as error:
            self._on_bad_body(error)
            return
        if pieces:
            self._write(link, pieces)

    @property
    def takes_unread(self) -> bool:
        """Whether what the client sends goes on by :meth:`pass_body`, no longer by :meth:`send_body`."""
        return self._outgoing.goes_unread

    def pass_body(self) -> None:
        """Pass on what the client has sent, unread. Raises OSError when the client is gone."""
        link = self._link
        if link is None:
            return
        try:
            if self._outgoing.take_unread(self._inbound.channel, link):
                self._flush(link)
        except h11.RemoteProtocolError as error:
            self._on_bad_body(error)

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
            self._link, self._reader = link, AnswerReader(link, is_head=self._outgoing.is_head)
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

    def _write(self, link: Link, pieces: list[Piece]) -> None:
        try:
            link.channel.write(pieces)
        except OSError:
            self._on_write_error(link)
        else:
            self._note_sent(link)

    def _note_sent(self, link: Link) -> None:
        if link.channel.sent > self._sent_before:
            self._services.connecting.stop(self)
            if self._outgoing.ended and not link.channel.pending:
                self._inbound.on_request_passed()
            self._outgoing.note_sent()

    def _on_write_error(self, link: Link) -> None:
        """The server may have answered before it closed; that is read first."""
        if self._may_retry(link):
            self._retry(link)
            return
        self._outgoing.give_up()
        link.channel.give_up()
        self._read(link)

    def _read(self, link: Link) -> None:
        if self._download is not None:
            self._pass_unread(link, self._download)
            return
        try:
            data = link.channel.read(self._reader.largest_read)
        except OSError:
            self._on_lost(link)
            return
        if data is not None:
            self._pass_answer(link, data)

    def _pass_answer(self, link: Link, data: memoryview) -> None:
        heads: list[Head] = []
        parts: list[Piece] = []
        try:
            end = self._reader.read(data, heads, parts)
            lost = False
        except h11.RemoteProtocolError:
            end, lost = None, True
        pieces: list[Piece] = []
        for head in heads:
            pieces += self._pass_head(head)
        if parts:
            pieces += self._inbound.answer.data(parts)
            self._answer_left -= sum(map(len, parts))
        if end is not None:
            pieces += self._inbound.answer.end(trailer_fields(end))
        if pieces and not self._inbound.write(pieces):
            return
        if end is not None:
            self._finish(link)
        elif lost:
            self._on_lost(link)
        elif parts and self.sized:
            self._download = bypass(self._answer_left, self._inbound.channel)

    def _pass_unread(self, link: Link, pipe: "Pipe") -> None:
        try:
            size = link.channel.take(pipe)
        except OSError:
            size = 0
        if size == 0:
            self._on_lost(link)
        elif size is not None and self._inbound.flush() and not pipe.left:
            self._inbound.answer.tell(pipe.total)
            link.bypassed = True
            self._finish(link)

    def _pass_head(self, head: Head) -> list[bytes]:
        fields = answer_fields(head)
        if isinstance(head, h11.InformationalResponse):
            return self._inbound.answer.interim(head.status_code, fields, head.reason)
        self._answered = True
        self._outgoing.note_answered()
        self._services.connecting.stop(self)
        self._services.counts.answer(head.status_code)
        self._is_feed = self._outgoing.is_get and is_feed(head)
        self._services.feeds += self._is_feed
        length = known_length(head)
        self.sized, self._answer_left = length is not None, length or 0
        last = self._services.draining
        return self._inbound.answer.head(head.status_code, fields, head.reason, is_last=last)

    def _finish(self, link: Link) -> None:
        self._link = None
        self._services.pool.give_back(link)
        self._leave()
        self._inbound.on_answered()

    def _on_bad_body(self, error: h11.RemoteProtocolError) -> None:
        """The server sees an end in the middle of a request, or nothing of it."""
        self._fail(Refusal(error.error_status_hint, "malformed body", "the body of the request is malformed"))

    def _on_lost(self, link: Link) -> None:
        if self._may_retry(link):
            self._retry(link)
        else:
            self._fail(_NO_SERVER)

    def _may_retry(self, link: Link) -> bool:
        """A kept connection may just have ended; a request that could have been obeyed is not repeated."""
        if not link.used or self._retried or self._answered:
            return False
        return self._outgoing.may_repeat(was_sent=link.channel.sent > self._sent_before)

    def _retry(self, link: Link) -> None:
        self._retried = True
        self._outgoing.rewind()
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
        self._services.end(was_feed=self._is_feed)
