"""The egress engine: outside of the sandbox, it carries what the rules allow.

The server's sockets never leave its empty namespace. Listeners that were made there arrive here; the address
that one is bound to says what the server wants to reach. A denied destination keeps no listener, so that the
kernel refuses the connection at once; whatever fails later is a reset.
"""

from __future__ import annotations

import _socket
import errno
import time

from mcp_client.light import TYPE_CHECKING, deque
from mcp_client.network.addresses import Address, from_packed
from mcp_client.network.counts import Counts
from mcp_client.network.deadlines import Deadlines
from mcp_client.network.engine.connection import SILENT, Connection, Destination, Services, Talk, Watcher
from mcp_client.network.engine.dial import STAGGER_SECONDS, Dial
from mcp_client.network.engine.loop import READ, Loop
from mcp_client.network.engine.nameserver import NameService
from mcp_client.network.engine.proxy import from_environment
from mcp_client.network.engine.resolve import Resolver, look_up
from mcp_client.network.engine.room import make_room
from mcp_client.network.engine.sockets import accept, prepare, reset
from mcp_client.network.pool import Pair, Pool, in_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_client.network.decide import RuleSet
    from mcp_client.network.engine.connect import ProxyService
    from mcp_client.network.engine.resolve import LookUp

_ACCEPTS_A_TURN = 64
_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 3600.0
# A connection that rests so long makes room for a new one when there are too many.
_RESTING_SECONDS = 30.0
# So long a new one waits for another to end, since a server may open faster than we close.
_FULL_SECONDS = 1.0
_ANY_PORT = 443
_UNSEEN = "a process"
_UNKNOWN = "nobody has looked up a name for this address"


class Engine:
    """Driven by somebody's poll(2) on :meth:`fileno`: call :meth:`run_once` then, and at ``due_at``."""

    def __init__(
        self,
        rules: RuleSet,
        on_denied: Callable[[str], None],
        environment: Mapping[str, str],
        ask: LookUp = look_up,
    ) -> None:
        """``environment`` may name the host's proxy; ``ask`` looks up names, in threads."""
        self._rules = rules
        self._loop = Loop()
        self._pool = Pool()
        self._counts = Counts(on_denied)
        self._names = NameService(self._loop, self._look_up)
        self._slow = Deadlines[Dial](STAGGER_SECONDS)
        resolver = Resolver(self._loop, ask)
        proxy = from_environment(environment)
        if proxy is not None and proxy.unusable:
            why = f"{proxy.unusable} (HTTPS_PROXY or ALL_PROXY)"
            on_denied(f"network: {why}; only what NO_PROXY names can be reached")
        self._services = Services(self._loop, rules, resolver, proxy, self._slow)
        self._watcher = Watcher(self._queue, self._note_activity, self._deny, self._end)
        # Ordered by when they were last used.
        self._listeners: dict[_socket.socket, Destination] = {}
        self._connecting = Deadlines[Connection](_CONNECT_SECONDS)
        self._joined = Deadlines[Connection](_IDLE_SECONDS)
        self._connections: set[Connection] = set()
        self._dialling: set[Connection] = set()
        self._ready: deque[Connection] = deque()
        self._starting = False
        self._full_since: float | None = None
        self._room = make_room()
        self._proxy_service: ProxyService | None = None

    def fileno(self) -> int:
        """Readable when there is something to do."""
        return self._loop.fileno()

    @property
    def due_at(self) -> float | None:
        """When :meth:`run_once` is to be called even if nothing happens, by the monotonic clock."""
        deadlines = (
            self._loop.due_at,
            self._names.due_at,
            None if self._proxy_service is None else self._proxy_service.due_at,
            self._slow.first,
            self._connecting.first,
            self._joined.first,
        )
        return min((due for due in deadlines if due is not None), default=None)

    def serve_names(self, *sockets: _socket.socket) -> None:
        """Answer on the sockets of the name service: bound UDP ones, listening TCP ones."""
        for end in sockets:
            self._names.serve(end)

    def add_listener(self, listener: _socket.socket) -> bool:
        """Take over a listener for the destination it is bound to; ``False``, and closed, when denied."""
        host, port = listener.getsockname()[:2]
        destination = self._decide(from_packed(_socket.inet_pton(listener.family, host)), port)
        if destination is None:
            listener.close()
            return False
        if len(self._listeners) >= self._room.listeners:
            self._retire(next(iter(self._listeners)))
        listener.setblocking(False)
        self._listeners[listener] = destination
        self._loop.watch(listener.fileno(), READ, lambda: self._accept(listener))
        return True

    def refuse(self, address: Address, port: int) -> None:
        """Count an attempt to reach an address for which no listener can be made."""
        self._decide(address, port)

    def refuse_unseen(self) -> None:
        """Count an attempt of a process that does not let init see where to."""
        self._counts.deny(_UNSEEN, "it hides its memory (PR_SET_DUMPABLE), and so where it connects to", None)

    def serve_proxy(self, listener: _socket.socket, secret: str) -> None:
        """Be an HTTP proxy on ``listener``, for those who show the ``secret``."""
        from mcp_client.network.engine.connect import ProxyService

        self._proxy_service = ProxyService(self._loop, listener, secret, self.admit)

    def admit(self, inner: _socket.socket, host: str | Address, port: int, talk: Talk) -> str:
        """Take over a connection that says itself where it wants to go; why it may not, where it may not.

        A refused one stays the caller's.
        """
        verdict = self._rules.decide(host, port)
        destination = Destination(host, port, verdict.rule is not None and verdict.rule.tls)
        if not verdict.allowed:
            self._deny(destination, verdict.reason, verdict.grant)
            return verdict.reason
        self._admit(inner, destination, talk)
        return ""

    def run_once(self, timeout: float) -> bool:
        """Do what there is to do, waiting for at most ``timeout`` seconds; whether there was anything."""
        busy = self._loop.turn(timeout)
        now = self._loop.now
        for dial in self._slow.take_expired(now):
            dial.start_next()
        for connection in self._connecting.take_expired(now):
            connection.cut("no answer in time")
        for connection in self._joined.take_expired(now):
            connection.cut("unused for too long")
        self._names.expire()
        if self._proxy_service is not None:
            self._proxy_service.expire()
        return busy

    def to_record(self) -> list[dict[str, object]]:
        """What was reached and what was refused, for the audit log."""
        return self._counts.to_record()

    def finish(self, seconds: float) -> None:
        """Deliver the last bytes of a server that is gone; what takes longer than ``seconds`` is lost."""
        until = time.monotonic() + seconds
        # Connections may still wait to be accepted.
        while self.run_once(0) and time.monotonic() < until:
            pass
        while any(connection.delivers for connection in self._connections):
            left = until - time.monotonic()
            if left <= 0:
                return
            due = self.due_at
            self.run_once(left if due is None else max(0.0, min(left, due - time.monotonic())))

    def close(self) -> None:
        """End every connection and close all that was taken over."""
        self._ready.clear()
        for listener in tuple(self._listeners):
            self._drop(listener)
        for connection in tuple(self._connections):
            connection.finish("the run has ended")
        self._names.close()
        if self._proxy_service is not None:
            self._proxy_service.close()
        self._services.resolver.close()
        self._loop.close()

    def _look_up(self, name: str) -> Pair | None:
        if self._rules.name_allowed(name):
            pair = self._pool.addresses_of(name)
            if pair is None:
                self._counts.deny(name, "too many names were looked up", None)
            return pair
        # No port is allowed; what one of them would be told holds for all.
        verdict = self._rules.decide(name, _ANY_PORT)
        self._counts.deny(name, verdict.reason, verdict.grant and f"--allow-net {name}")
        return None

    def _decide(self, address: Address, port: int) -> Destination | None:
        host = self._pool.name_of(address) if in_pool(address) else address
        if host is None:
            self._counts.deny(f"{address}", _UNKNOWN, None)
            return None
        verdict = self._rules.decide(host, port)
        destination = Destination(host, port, verdict.rule is not None and verdict.rule.tls)
        if verdict.allowed:
            return destination
        self._deny(destination, verdict.reason, verdict.grant)
        return None

    def _deny(self, destination: Destination, reason: str, grant: str | None) -> None:
        self._counts.deny(str(destination), reason, grant)

    def _retire(self, listener: _socket.socket) -> None:
        """Make room for another one; who has connected already is not turned away."""
        self._take(listener)
        if listener in self._listeners:
            self._drop(listener)

    def _drop(self, listener: _socket.socket) -> None:
        del self._listeners[listener]
        self._loop.forget(listener.fileno())
        listener.close()

    def _accept(self, listener: _socket.socket) -> None:
        if self._is_full() and not self._was_full_for_long():
            self._loop.pause(listener.fileno())
        else:
            self._take(listener)

    def _is_full(self) -> bool:
        return len(self._connections) >= self._room.connections

    def _was_full_for_long(self) -> bool:
        """Or there is one that rests and can go at once."""
        now = self._loop.now
        if self._full_since is None:
            self._full_since = now
        resting = self._joined.oldest(now, waiting=_RESTING_SECONDS)
        return resting is not None or now - self._full_since >= _FULL_SECONDS

    def _take(self, listener: _socket.socket) -> None:
        destination = self._listeners.pop(listener)
        self._listeners[listener] = destination
        for _ in range(_ACCEPTS_A_TURN):
            if self._is_full() and not self._was_full_for_long():
                # At the next turn it is paused.
                return
            try:
                inner = accept(listener)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    # Whoever waits here is reset, and comes back by way of a new listener.
                    self._drop(listener)
                    return
                continue
            self._admit(inner, destination)

    def _admit(self, inner: _socket.socket, destination: Destination, talk: Talk = SILENT) -> None:
        tally = self._counts.of(str(destination))
        if self._is_full():
            resting = self._joined.oldest(self._loop.now, waiting=_RESTING_SECONDS)
            if resting is None:
                tally.fail("too many connections at a time")
                reset(inner)
                return
            resting.cut("unused while others were waiting")
        prepare(inner)
        connection = Connection(self._services, self._watcher, inner, destination, tally, talk=talk)
        self._connections.add(connection)
        self._connecting.start(connection, self._loop.now)
        connection.start()

    def _queue(self, connection: Connection) -> None:
        self._ready.append(connection)
        self._dial_next()

    def _dial_next(self) -> None:
        # A dial that fails at once ends up here again: it must not start the next one from within itself.
        if self._starting:
            return
        self._starting = True
        try:
            while self._ready and len(self._dialling) < self._room.dialling:
                connection = self._ready.popleft()
                if connection in self._connections:
                    self._dialling.add(connection)
                    connection.dial()
        finally:
            self._starting = False

    def _note_activity(self, connection: Connection) -> None:
        if connection in self._dialling:
            self._dialling.discard(connection)
            self._connecting.stop(connection)
            self._dial_next()
        self._joined.start(connection, self._loop.now)

    def _end(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._full_since = None
        self._dialling.discard(connection)
        self._connecting.stop(connection)
        self._joined.stop(connection)
        self._dial_next()
