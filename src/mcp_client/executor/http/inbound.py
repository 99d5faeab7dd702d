"""A client's connection: requests are read one at a time, and the next when its predecessor is answered."""

import _socket
import time

import h11

from mcp_client.executor.http.answer import Answer
from mcp_client.executor.http.body import Piece
from mcp_client.executor.http.channel import LARGEST_COPY, Channel
from mcp_client.executor.http.exchange import Exchange
from mcp_client.executor.http.fields import Refusal
from mcp_client.executor.http.request_reader import RequestReader
from mcp_client.executor.http.services import Services
from mcp_client.network.engine.loop import HANG_UP, READ

# Only after these may another request follow on the same connection: what is wrong is not where it ends.
_HARMLESS = frozenset({204, 401, 403, 502, 504})
_SLOW = Refusal(408, "slow head", "the head of the request did not arrive in time")


class Inbound:
    """Reads a head; then an exchange reads and writes through it; at last it waits for the client's end."""

    __slots__ = (
        "_ending",
        "_exchange",
        "_leaving",
        "_lingers",
        "_processing",
        "_sent_before",
        "_services",
        "answer",
        "channel",
        "reader",
    )

    def __init__(self, services: Services, end: _socket.socket) -> None:
        """``end`` is a connection just accepted."""
        self._services = services
        self.channel = Channel(services.loop, end, self._wake)
        self.reader = RequestReader()
        self._exchange: Exchange | None = None
        self.answer = Answer(self.reader.connection)
        # It sends no more; nothing more is sent to it; and all was sent, its end is waited for.
        self._leaving = self._ending = self._lingers = False
        self._processing = False
        # When it was looked at last, once it is leaving.
        self._sent_before = 0
        services.inbounds.add(self)
        services.counts.connections += 1
        services.heads.start(self, time.monotonic())

    @property
    def unused(self) -> bool:
        """Whether it waits for a request of which there is nothing yet."""
        return not (self._exchange or self._ending or self.reader.has_begun or self.channel.pending)

    def settle(self) -> None:
        """Wait for what can go on."""
        if self.channel.closed:
            return
        if self._exchange is not None:
            self._exchange.settle()
        if self._wants_read:
            self.channel.watch(READ)
        elif self._exchange is not None and not self._leaving:
            self.channel.watch(HANG_UP)
        else:
            self.channel.watch(0)

    def close(self) -> None:
        """End it, and what it waits for."""
        if self.channel.closed:
            return
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        self._end(abort=False)

    def on_slow_head(self) -> None:
        """The deadline of a head has passed."""
        if self.channel.pending:
            # The answer before it is still on its way.
            self._services.heads.start(self, time.monotonic())
        elif self.reader.has_begun:
            self.refuse(_SLOW)
            self.settle()
        else:
            self.close()

    def on_left(self) -> None:
        """Some time has passed since the client ended its side: it is gone altogether, for all we know.

        Unless it takes what it gets: who is gone answers the first byte with a reset.
        """
        if self._exchange is None:
            return
        taken = self.channel.sent > self._sent_before or self.channel.pending
        if self._exchange.sized and taken:
            self._sent_before = self.channel.sent
            self._services.leaving.start(self, time.monotonic())
        else:
            self.close()

    def refuse(self, refusal: Refusal) -> None:
        """Answer without the server; the connection goes on if the request was harmless and is complete."""
        self._exchange = None
        if refusal.reason:
            self._services.counts.refuse(refusal.reason)
        self._services.counts.answer(refusal.status)
        keeps = refusal.status in _HARMLESS and self.reader.is_complete() and not self._services.draining
        if not self.write(self.answer.refusal(refusal, is_last=not keeps)):
            return
        if keeps:
            self._next_cycle()
        else:
            self._finish()

    def on_request_passed(self) -> None:
        """The server has it, and the next is its turn; a client that ended its side waits only so long."""
        if self._leaving:
            self._services.leaving.start(self, time.monotonic())

    def write(self, pieces: list[Piece]) -> bool:
        """False when the client is gone, and all that belonged to it."""
        try:
            self.channel.write(pieces)
        except OSError:
            self.close()
            return False
        return True

    def flush(self) -> bool:
        """False when the client is gone, and all that belonged to it."""
        try:
            self.channel.flush()
        except OSError:
            self.close()
            return False
        return True

    def on_answered(self) -> None:
        """The exchange is over."""
        self._exchange = None
        if self._services.draining:
            self._finish()
        else:
            self._next_cycle()

    def on_broken_answer(self) -> None:
        """Let the client see that there should have been more."""
        self._exchange = None
        if self.answer.old_client:
            # Here an end of the connection would be the end of the answer.
            self._end(abort=True)
        else:
            self._finish()

    @property
    def _wants_read(self) -> bool:
        if self._exchange is not None:
            return self._exchange.wants_body
        return self._lingers or not (self._ending or self.channel.pending)

    def _wake(self) -> None:
        try:
            if self.channel.pending:
                self.channel.flush()
                self._on_flushed()
            if self.channel.closed:
                return
            if self._wants_read:
                self._read()
            elif self._exchange is not None and not self._leaving and self.channel.peer_ended:
                self._on_leaving(self._exchange)
        except (OSError, h11.LocalProtocolError):
            # The latter is a mistake of ours; it must not end the run.
            self.close()
        self.settle()

    def _on_flushed(self) -> None:
        if self.channel.pending or self._exchange is not None:
            return
        if self._ending:
            self._linger()
        else:
            self._process()

    def _on_leaving(self, exchange: Exchange) -> None:
        """The client ended its side: who does so in a stream is gone, who just asked may want the answer."""
        self._leaving = True
        if exchange.streams:
            self.close()
        elif not exchange.is_held_up:
            self.on_request_passed()

    def _read(self) -> None:
        exchange = self._exchange
        if self._lingers:
            if (data := self.channel.read(LARGEST_COPY)) is not None and not data:
                self.close()
        elif exchange is None:
            self._read_head()
        elif exchange.takes_unread:
            exchange.pass_body()
        elif (data := self.channel.read(self.reader.largest_read)) is not None:
            self.reader.add(data)
            exchange.send_body()

    def _read_head(self) -> None:
        data = self.channel.read(self.reader.room)
        if data is None:
            return
        if data and not self.reader.has_begun:
            self._on_head_begun()
        self.reader.add_head(data)
        self._process()

    def _on_head_begun(self) -> None:
        self._services.idle.stop(self)
        self._services.heads.start(self, time.monotonic())

    def _process(self) -> None:
        """Begin with the requests that are there already; one that ends at once leads to the next."""
        if self._processing:
            return
        self._processing = True
        try:
            while self._exchange is None and not (
                self._ending or self.channel.pending or self.channel.closed
            ):
                if not self._next_request():
                    break
        finally:
            self._processing = False

    def _next_request(self) -> bool:
        """Whether there was one."""
        event, refusal = self.reader.next()
        if isinstance(event, h11.Request):
            self._begin(event, refusal)
            return True
        if refusal is not None:
            self.refuse(refusal)
        elif event is not None:
            self.close()
        return False

    def _begin(self, request: h11.Request, refusal: Refusal | None) -> None:
        self._services.heads.stop(self)
        guard = self._services.guard
        self.answer.begin(request, guard.answer_fields(request))
        refusal = refusal or guard.check(request)
        if refusal is not None:
            self.refuse(refusal)
            return
        self._exchange = Exchange(self._services, self, request)
        self._exchange.start()

    def _next_cycle(self) -> None:
        if not self.reader.renew():
            self._finish()
            return
        self.answer.renew(self.reader.connection)
        self._services.leaving.stop(self)
        if self.reader.has_begun:
            self._on_head_begun()
            self._process()
        else:
            self._services.idle.start(self, time.monotonic())

    def _finish(self) -> None:
        """Nothing more is sent than what is pending."""
        self._ending = True
        self._services.heads.stop(self)
        self._services.leaving.stop(self)
        if not self.channel.pending:
            self._linger()

    def _linger(self) -> None:
        """Closed at once, unread bytes would make the kernel reset what was answered (RFC 9112, 9.6)."""
        try:
            self.channel.end_writing()
        except OSError:
            self.close()
            return
        self._lingers = True
        self._services.lingering.start(self, time.monotonic())

    def _end(self, *, abort: bool) -> None:
        services = self._services
        for deadlines in (services.heads, services.idle, services.lingering, services.leaving):
            deadlines.stop(self)
        services.counts.received += self.channel.received
        services.counts.sent += self.channel.sent
        services.inbounds.discard(self)
        self.channel.close(abort=abort)
        services.on_end()
