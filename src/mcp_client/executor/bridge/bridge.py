"""The bridge as the supervisor drives it: lines of the client become requests, answers become lines.

What follows an ``initialize`` waits for its answer, and what follows a notification until the server has
taken it: on a pipe they would have come in this order. Requests do not wait for each other.
"""

import heapq
import select
import time
from collections import deque
from collections.abc import Callable

from mcp_client.executor.bridge import messages
from mcp_client.executor.bridge.calls import Call, Farewell, Feed
from mcp_client.executor.bridge.messages import Message
from mcp_client.executor.bridge.session import Session, closing_cancels, revision_of
from mcp_client.executor.bridge.streams import LineReader, LineWriter
from mcp_client.executor.bridge.transfer import Counted, Receiver, Transfer
from mcp_client.executor.http.counts import Counts
from mcp_client.executor.http.link import Pool, Upstream
from mcp_client.network.engine.loop import Loop

_STANDARD_INPUT, _STANDARD_OUTPUT = 0, 1
_MOST_REQUESTS = 200
# What the client has not taken yet keeps us from reading more of the server, and the other way round.
_MOST_UNREAD, _MOST_UNSENT = 1 << 20, 8 << 20
_ACCEPT_SECONDS = 5.0
# A stream that goes on after the answer is closed then; most end at once, and the connection is kept.
_LINGER_SECONDS = 1.0
_INITIALIZED, _LISTEN = "notifications/initialized", "subscriptions/listen"
_TURNS_A_MOVE = 8
_LEFT = "the client closed the connection"
_HUNG_UP = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Bridge:
    """A service of the front, from the first line on: until the server answers, messages wait."""

    def __init__(self, upstream: Upstream, port: int, path: str) -> None:
        """``port`` and ``path`` are the server's."""
        self.session = Session()
        self.gone = False
        self.on_left: Callable[[str], None] = lambda _: None
        self._port, self._path = port, path
        self._loop = Loop()
        self._pool = Pool(self._loop, upstream)
        self._reader, self._writer = LineReader(_STANDARD_INPUT), LineWriter(_STANDARD_OUTPUT)
        self._queue: deque[Message] = deque()
        self._unsent = 0
        self._calls: list[Call] = []
        self._answered: list[Call] = []
        self._feed: Feed | None = None
        self._farewell: Farewell | None = None
        self._awaited: Call | None = None
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0
        self._draining = self._held_back = self._begun = False
        self._watched: dict[int, int] = {}
        self._counts = Counts()
        self._counts.connections = 1

    def begin(self) -> "Bridge":
        """The server answers: also a client that had said all before that (``printf ... | mcp run``)."""
        self._begun = True
        if self._reader.ended:
            self.on_left(_LEFT)
        return self

    @property
    def due_at(self) -> float | None:
        """As a companion."""
        times = [self._loop.due_at, self._pool.due_at, self._timers[0][0] if self._timers else None]
        return min((at for at in times if at is not None), default=None)

    @property
    def idle_since(self) -> float | None:
        """Never: a client that stays wants its server."""
        return None

    @property
    def drained(self) -> bool:
        """Whether the client has all it will get, and the server knows that its session is over."""
        if not self._draining or self._writer.pending:
            return False
        if self._writer.broken:
            return True
        said = self.gone or self.session.id is None or (self._farewell is not None and self._farewell.done)
        return said and not self._queue and not self._unanswered()

    def watch(self, poll: select.poll) -> None:
        """As a companion."""
        self._watched = {}
        poll.register(self._loop.fileno(), select.POLLIN)
        self._settle(poll)

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """As a companion."""
        if self._loop.fileno() in ready:
            for _ in range(_TURNS_A_MOVE):
                if not self._loop.turn(0):
                    break
        now = time.monotonic()
        self._pool.expire(now)
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        if self._watched.get(_STANDARD_INPUT) and _STANDARD_INPUT in ready:
            self._read()
        if ready.get(_STANDARD_OUTPUT, 0) & _HUNG_UP:
            self._writer.give_up()
        elif self._writer.pending and ready.get(_STANDARD_OUTPUT, 0) & select.POLLOUT:
            self._writer.flush()
        if self._writer.broken:
            self.on_left("the client closed its end")
        self._pump()
        self._settle(poll)

    def drain(self) -> None:
        """Read no more; what was read is still answered."""
        self._draining = True
        self._pump()

    def upstream_gone(self) -> None:
        """The server has ended: what it sent still arrives, and nobody waits for more."""
        self.gone = True
        self._pool.upstream_gone()
        waiting, self._timers = self._timers, []
        for _, _, go_on in sorted(waiting):
            go_on()
        self._awaited = None
        self._pump()

    def close(self) -> dict[str, object]:
        """End everything; what there was, for the audit record."""
        if self._feed is not None:
            self._feed.close()
        for call in tuple(self._calls):
            call.cancel()
        self._pool.close()
        self._loop.close()
        return self._counts.to_record()

    def open(
        self, receiver: Receiver, method: str, message: Message | None, last_event: bytes | None
    ) -> Transfer:
        """As a carrier."""
        fields = [("Host", f"localhost:{self._port}"), *self.session.fields(message)]
        body = b"" if message is None else message.raw
        if message is not None:
            fields += [
                ("Content-Type", "application/json"),
                ("Accept", "application/json, text/event-stream"),
            ]
        else:
            fields.append(("Accept", "text/event-stream"))
        if last_event is not None:
            fields.append(("Last-Event-ID", last_event.decode("latin-1")))
        self._counts.requests += 1
        transfer = Transfer(
            self._pool,
            Counted(receiver, self._counts),
            method=method,
            target=self._path,
            fields=fields,
            body=body,
        )
        transfer.hold_back(self._held_back)
        return transfer

    def deliver(self, line: bytes) -> None:
        """As a carrier."""
        self._counts.sent += len(line) + 1
        self._writer.write(line)

    def later(self, seconds: float, call: Call | Feed) -> None:
        """As a carrier."""
        self._at(seconds, call.go_on)

    def on_accepted(self, call: Call) -> None:
        """As a carrier."""
        if call is self._awaited and call.message.method != messages.INITIALIZE:
            self._awaited = None
        if call.message.method == _INITIALIZED and self._feed is None and self.session.id is not None:
            self._feed = Feed(self)
            self._feed.go_on()

    def on_answered(self, call: Call) -> None:
        """As a carrier."""
        if call is self._awaited:
            self._awaited = None
        self._answered.append(call)
        self._at(_LINGER_SECONDS, call.cancel)

    def on_done(self, call: Call) -> None:
        """As a carrier."""
        if call in self._calls:
            self._calls.remove(call)
        if call in self._answered:
            self._answered.remove(call)
        if call is self._awaited:
            self._awaited = None

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        self._numbers += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._numbers, act))

    def _read(self) -> None:
        for line in self._reader.read():
            self._counts.received += len(line) + 1
            message = messages.parse(line)
            if message is None:
                self.deliver(messages.error(None, messages.PARSE_ERROR, "not a JSON-RPC message"))
            elif message.method == messages.CANCELLED and self._cancel(message):
                continue
            elif message.is_answer and self._awaited is None:
                # Somebody may be waiting for it who keeps all places taken.
                self._send(message)
            else:
                self._queue.append(message)
                self._unsent += len(message.raw)
        if self._reader.too_long:
            self.on_left("a message of the client is too long")
        elif self._reader.ended and (self._begun or not (self._queue or self._calls)):
            self.on_left(_LEFT)

    def _cancel(self, message: Message) -> bool:
        """Whether the end of a connection says it; a notification would be another matter (2026-07-28)."""
        key = messages.key_of(message.params.get("requestId"))
        for call in self._calls:
            if key in call.open_ids:
                if not closing_cancels(call.revision):
                    return False
                call.cancel()
                return True
        for waiting in self._queue:
            if key in waiting.ids and closing_cancels(revision_of(waiting)):
                self._queue.remove(waiting)
                return True
        return closing_cancels(revision_of(message))

    def _pump(self) -> None:
        while self._queue and self._awaited is None:
            message = self._queue[0]
            if message.ids and len(self._calls) >= _MOST_REQUESTS:
                break
            self._queue.popleft()
            self._unsent -= len(message.raw)
            self._send(message)
        ends = self._draining and not self.gone and self._farewell is None and self.session.id is not None
        if ends and not self._queue and not self._unanswered():
            self._farewell = Farewell(self)

    def _send(self, message: Message) -> None:
        call = Call(self, message)
        if self.gone:
            call.fail("the server has ended")
            return
        self._calls.append(call)
        if message.method == messages.INITIALIZE or not message.ids:
            self._awaited = call
            if message.ids == {}:
                self._at(_ACCEPT_SECONDS, lambda: self._stop_waiting(call))
        call.go_on()

    def _stop_waiting(self, call: Call) -> None:
        if call is self._awaited:
            self._awaited = None
            self._pump()

    def _unanswered(self) -> bool:
        """Whether a call is under way that the end has to wait for; a subscription has no end of its own."""
        return any(
            call.message.method != _LISTEN and (call.open_ids or not call.message.ids)
            for call in self._calls
            if call not in self._answered
        )

    def _settle(self, poll: select.poll) -> None:
        """Watch what can go on: a side is read only as long as the other takes what came before."""
        held_back = self._writer.pending > _MOST_UNREAD
        if held_back != self._held_back:
            self._held_back = held_back
            for call in (*self._calls, self._feed):
                if call is not None and call.transfer is not None:
                    call.transfer.hold_back(held_back)
        reads = not self._reader.ended and not self._draining and self._unsent < _MOST_UNSENT
        self._watch(poll, _STANDARD_INPUT, select.POLLIN if reads else 0, wanted=reads)
        events = select.POLLOUT if self._writer.pending else 0
        self._watch(poll, _STANDARD_OUTPUT, events, wanted=not self._writer.broken)

    def _watch(self, poll: select.poll, descriptor: int, events: int, *, wanted: bool) -> None:
        before = self._watched.get(descriptor)
        if not wanted:
            if before is not None:
                poll.unregister(descriptor)
                del self._watched[descriptor]
        elif before != events:
            poll.register(descriptor, events)
            self._watched[descriptor] = events
