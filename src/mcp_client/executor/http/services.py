"""What all connections of one proxy share."""

import time
from typing import TYPE_CHECKING

from mcp_client.executor.http.counts import Counts
from mcp_client.executor.http.guard import Guard
from mcp_client.executor.http.link import Pool
from mcp_client.network.deadlines import Deadlines
from mcp_client.network.engine.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_client.executor.http.exchange import Exchange
    from mcp_client.executor.http.inbound import Inbound

# From its first byte, or from the connection for the first one.
_HEAD_SECONDS = 10.0
# Clients keep theirs for at most 90 s as a rule; a connection that we close first fails their next request.
_IDLE_SECONDS = 120.0
_LINGER_SECONDS = 2.0
_LEAVING_SECONDS = 0.25
_CONNECT_SECONDS = 15.0


class Services:
    """``port`` is the server's own, ``draining`` whether each answer is the last of its connection.

    Deadlines: ``heads`` for a whole head, ``idle`` for the next one, ``lingering`` for the client to end its
    side, ``leaving`` for an answer to one that has done so, ``connecting`` for the server to take a request.
    """

    def __init__(self, loop: Loop, pool: Pool, guard: Guard, port: int) -> None:
        self.loop, self.pool, self.guard, self.port = loop, pool, guard, port
        self.counts = Counts()
        self.draining = False
        self.inbounds: set[Inbound] = set()
        self.on_end: Callable[[], None] = lambda: None
        self.heads = Deadlines["Inbound"](_HEAD_SECONDS)
        self.idle = Deadlines["Inbound"](_IDLE_SECONDS)
        self.lingering = Deadlines["Inbound"](_LINGER_SECONDS)
        self.leaving = Deadlines["Inbound"](_LEAVING_SECONDS)
        self.connecting = Deadlines["Exchange"](_CONNECT_SECONDS)
        self._under_way = 0
        # Of these, streams of events that were asked for by GET: they end when one of both sides leaves.
        self.feeds = 0
        self.idle_since: float | None = time.monotonic()

    def begin(self) -> None:
        """One more request is under way."""
        self.counts.requests += 1
        self._under_way += 1
        self.idle_since = None

    @property
    def waits(self) -> bool:
        """Whether somebody waits for an answer that will end by itself."""
        return self._under_way > self.feeds

    def end(self, *, was_feed: bool) -> None:
        """One less."""
        self._under_way -= 1
        self.feeds -= was_feed
        if not self._under_way:
            self.idle_since = time.monotonic()

    @property
    def due_at(self) -> float | None:
        """When the first deadline passes."""
        return min(
            (at for at in (deadlines.first for deadlines in self._all) if at is not None), default=None
        )

    def expire(self, now: float) -> None:
        """Act on what is late."""
        for inbound in self.heads.take_expired(now):
            inbound.on_slow_head()
        for inbound in self.idle.take_expired(now):
            inbound.close()
        for inbound in self.lingering.take_expired(now):
            inbound.close()
        for inbound in self.leaving.take_expired(now):
            inbound.on_left()
        for exchange in self.connecting.take_expired(now):
            exchange.on_no_connection()

    @property
    def _all(self) -> tuple[Deadlines["Inbound"] | Deadlines["Exchange"], ...]:
        return self.heads, self.idle, self.lingering, self.leaving, self.connecting
