"""A client's connection: requests are read one at a time, and the next when its predecessor is answered."""

import _socket
import time

import h11

from mcp_client.executor.http.answer import Answer
from mcp_client.executor.http.channel import LARGEST_READ, Channel
from mcp_client.executor.http.exchange import Exchange
from mcp_client.executor.http.fields import (
    LONGEST_HEAD,
    Refusal,
    check_head,
    check_partial_head,
)
from mcp_client.executor.http.services import Services
from mcp_client.network.linux.loop import HANG_UP, READ

# Only after these may another request follow on the same connection: what is wrong is not where it ends.
_HARMLESS = frozenset({204, 401, 403, 502, 504})
_SLOW = Refusal(408, "slow head", "the head of the request did not arrive in time")


class Inbound:
    """Reads a head; then an exchange reads and writes through it; at last it waits for the client's end."""

    __slots__ = (
        "_connection",
        "_ending",
        "_exchange",
        "_head",
        "_leaving",
        "_lingers",
        "_processing",
        "_sent_before",
        "_services",
        "answer",
        "channel",
    )

    def __init__(self, services: Services, end: _socket.socket) -> None:
        """``end`` is a connection just accepted."""
        self._services = services
        self.channel = Channel(services.loop, end, self._wake)
        self._connection = h11.Connection(h11.SERVER, LONGEST_HEAD)
        self._head = bytearray()
        self._exchange: Exchange | None = None
        self.answer = Answer(self._connection)
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
        return self._exchange is None and not self._ending and not self._head and not self.channel.pending

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
        elif self._head:
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
        keeps = refusal.status in _HARMLESS and self._is_complete() and not self._services.draining
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

    def take_body(self) -> tuple[bytes, h11.EndOfMessage | None]:
        """What there is of the body, and its end. Raises h11.RemoteProtocolError."""
        parts: list[bytes] = []
        end = None
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.Data):
                parts.append(event.data)
                continue
            if isinstance(event, h11.EndOfMessage):
                end = event
            return parts[0] if len(parts) == 1 else b"".join(parts), end

    def write(self, pieces: list[bytes]) -> bool:
        """False when the client is gone, and all that belonged to it."""
        try:
            self.channel.write(pieces)
        except OSError:
            self.close()
            return False
        return True

    def on_answered(self) -> None:
        """The exchange is over."""
        self._exchange = None
        states = self._connection.states
        if states[h11.CLIENT] is h11.DONE and states[h11.SERVER] is h11.DONE and not self._services.draining:
            self._next_cycle()
        else:
            self._finish()

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
        if self._lingers:
            self._discard()
            return
        in_head = self._exchange is None
        data = self.channel.read(LONGEST_HEAD + 1 - len(self._head) if in_head else LARGEST_READ)
        if data is None:
            return
        if in_head and data:
            self._note_head(data)
        # h11 adds any buffer to its own.
        self._connection.receive_data(data)  # type: ignore[arg-type]
        if self._exchange is None:
            self._process()
        else:
            self._exchange.send_body()

    def _note_head(self, data: bytes | memoryview) -> None:
        if not self._head:
            self._services.idle.stop(self)
            self._services.heads.start(self, time.monotonic())
        self._head += data

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
        try:
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            short = check_partial_head(self._head)
            self.refuse(short or Refusal(error.error_status_hint, "malformed", "the request is malformed"))
            return False
        if isinstance(event, h11.Request):
            self._begin(event)
            return True
        if isinstance(event, h11.ConnectionClosed):
            self.close()
        elif (refusal := check_partial_head(self._head)) is not None:
            self.refuse(refusal)
        return False

    def _begin(self, request: h11.Request) -> None:
        rest = len(self._connection.trailing_data[0])
        head, self._head = self._head[: len(self._head) - rest], bytearray()
        self._services.heads.stop(self)
        guard = self._services.guard
        self.answer.begin(request, guard.answer_fields(request))
        refusal = check_head(head, request) or guard.check(request)
        if refusal is not None:
            self.refuse(refusal)
            return
        self._exchange = Exchange(self._services, self, request)
        self._exchange.start()

    def _is_complete(self) -> bool:
        """Whether all of the request has been read, so that the next byte is that of another one."""
        if self._connection.their_state is h11.SEND_BODY:
            try:
                self.take_body()
            except h11.RemoteProtocolError:
                return False
        return self._connection.their_state not in {h11.SEND_BODY, h11.ERROR}

    def _next_cycle(self) -> None:
        if self._connection.their_state is not h11.DONE or self._connection.our_state is not h11.DONE:
            self._finish()
            return
        self._connection.start_next_cycle()
        self._services.leaving.stop(self)
        self.answer.begin(None, [])
        rest = self._connection.trailing_data[0]
        if rest:
            self._note_head(rest)
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

    def _discard(self) -> None:
        data = self.channel.read(LARGEST_READ)
        if data is not None and not data:
            self.close()

    def _end(self, *, abort: bool) -> None:
        services = self._services
        for deadlines in (services.heads, services.idle, services.lingering, services.leaving):
            deadlines.stop(self)
        services.counts.received += self.channel.received
        services.counts.sent += self.channel.sent
        services.inbounds.discard(self)
        self.channel.close(abort=abort)
        services.on_end()
