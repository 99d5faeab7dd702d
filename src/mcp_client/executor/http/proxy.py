"""The listening end: connections come in, within the descriptors there are, and the clock is kept."""

import _socket
import resource
import select
import time

from mcp_client.executor.http.channel import LARGEST_READ
from mcp_client.executor.http.fields import Refusal
from mcp_client.executor.http.guard import Guard
from mcp_client.executor.http.inbound import Inbound
from mcp_client.executor.http.link import Pool, Upstream
from mcp_client.executor.http.services import Services
from mcp_client.network.engine.loop import READ, Loop
from mcp_client.network.engine.sockets import accept

_MOST_CONNECTIONS = 1024
# Beyond that so many are told so at a time; others wait in the kernel.
_MOST_TURNED_AWAY = 16
_OWN_DESCRIPTORS = 64
_ACCEPTS_A_TURN = 64
_TURNS_A_MOVE = 8
_FULL = Refusal(503, "too many connections", "there are too many connections", ((b"Retry-After", b"1"),))


class Proxy:
    """A companion of the supervisor's loop, see the package; all times are seconds of the monotonic clock."""

    def __init__(self, listener: _socket.socket, upstream: Upstream, guard: Guard, *, port: int) -> None:
        """``listener`` belongs to it; ``port`` is the server's own, for ``Host: localhost:<port>``."""
        listener.setblocking(False)
        self._listener: _socket.socket | None = listener
        self._loop = Loop(LARGEST_READ)
        self._pool = Pool(self._loop, upstream)
        self._services = Services(self._loop, self._pool, guard, port)
        self._services.on_end = self._listen
        self._room = _make_room()
        self._listens = False
        self._listen()

    @property
    def due_at(self) -> float | None:
        """When move() is to be called even if nothing happens."""
        times = (self._loop.due_at, self._pool.due_at, self._services.due_at)
        return min((at for at in times if at is not None), default=None)

    def watch(self, poll: select.poll) -> None:
        """Register all that move() waits for."""
        poll.register(self._loop.fileno(), select.POLLIN)

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:  # noqa: ARG002  a Companion's
        """Do what there is to do, without waiting."""
        if self._loop.fileno() in ready:
            for _ in range(_TURNS_A_MOVE):
                if not self._loop.turn(0):
                    break
        due = self.due_at
        if due is not None and (now := time.monotonic()) >= due:
            self._loop.turn(0)
            self._pool.expire(now)
            self._services.expire(now)

    @property
    def idle_since(self) -> float | None:
        """Since when no request is under way; None while one is."""
        return self._services.idle_since

    @property
    def drained(self) -> bool:
        """Whether every answer is on its way, but for streams of events that go on until somebody leaves."""
        return not self._services.waits and not any(
            inbound.channel.pending for inbound in self._services.inbounds
        )

    def drain(self) -> None:
        """Take no more connections and requests; those under way go on."""
        self._services.draining = True
        if self._listener is not None:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for inbound in tuple(self._services.inbounds):
            if inbound.unused:
                inbound.close()

    def upstream_gone(self) -> None:
        """The server has ended: what it sent still arrives, everything else is answered with 502."""
        self._pool.upstream_gone()

    def close(self) -> dict[str, object]:
        """End everything; what there was, for the audit record."""
        self.drain()
        for inbound in tuple(self._services.inbounds):
            inbound.close()
        self._pool.close()
        self._loop.close()
        return self._services.counts.to_record()

    def _listen(self) -> None:
        """Watch for connections as long as there is room to turn them away at least."""
        listens = len(self._services.inbounds) < self._room + _MOST_TURNED_AWAY
        if self._listener is not None and listens != self._listens:
            self._listens = listens
            self._loop.watch(self._listener.fileno(), READ if listens else 0, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            if self._listener is None or not self._listens:
                return
            try:
                end = accept(self._listener)
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                # Mostly that there are no descriptors left: whoever waits here waits a little longer.
                self._loop.pause(self._listener.fileno())
                return
            self._admit(end)

    def _admit(self, end: _socket.socket) -> None:
        services = self._services
        if len(services.inbounds) >= self._room:
            resting = services.idle.oldest(time.monotonic(), waiting=0)
            if resting is not None:
                resting.close()
        full = len(services.inbounds) >= self._room
        try:
            inbound = Inbound(services, end)
        except OSError:
            end.close()
            return
        if full:
            inbound.refuse(_FULL)
        inbound.settle()
        self._listen()


def _make_room() -> int:
    """How many clients at a time; each takes two descriptors, and our own limit is raised for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    wanted = soft + 2 * _MOST_CONNECTIONS + _OWN_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    # What others in this process count on stays theirs, unless the host is tight.
    free = max(wanted - soft, soft // 2) - _OWN_DESCRIPTORS
    return max(1, min(_MOST_CONNECTIONS, free // 2))
