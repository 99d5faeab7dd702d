"""Connections to the server: asked for, used by one exchange at a time, and kept for the next."""

import _socket
from collections.abc import Callable
from typing import Protocol

import h11

from mcp_client.executor.http.channel import Channel
from mcp_client.executor.http.fields import LONGEST_HEAD
from mcp_client.network.deadlines import Deadlines
from mcp_client.network.engine.loop import READ, Loop

# Less than the five seconds after which Node and uvicorn close one: who asks must not meet that.
_KEPT_SECONDS = 3.0
_MOST_KEPT = 64


class Upstream(Protocol):
    """Who can make connections to the server."""

    def connect(self, on_socket: Callable[[_socket.socket | None], None]) -> None:
        """Call back, now or later, with a connected or connecting non-blocking socket, or None."""


class Link:
    """A connection to the server; ``connection`` is h11's part of it, ``used`` if it has served before.

    ``bypassed`` tells that an answer ended which h11 has not seen all of.
    """

    __slots__ = ("_on_ready", "bypassed", "channel", "connection", "used")

    def __init__(self, loop: Loop, end: _socket.socket) -> None:
        """``end`` may still be connecting: what is sent before waits."""
        self.channel = Channel(loop, end, self._wake)
        self.connection = h11.Connection(h11.CLIENT, LONGEST_HEAD)
        self.used = self.bypassed = False
        self._on_ready: Callable[[], None] | None = None

    def attach(self, on_ready: Callable[[], None] | None) -> None:
        """From now on ``on_ready`` is told."""
        self._on_ready = on_ready

    def _wake(self) -> None:
        if self._on_ready is not None:
            self._on_ready()

    def renew(self) -> bool:
        """Whether another request can follow: both sides have said all, and nothing more."""
        connection = self.connection
        if self.channel.closed or self.channel.pending:
            return False
        # Otherwise the request is not complete, or one of both wants the connection to end.
        if connection.our_state is not h11.DONE:
            return False
        if self.bypassed:
            self.connection = h11.Connection(h11.CLIENT, LONGEST_HEAD)
            self.bypassed = False
        elif connection.their_state is not h11.DONE or connection.trailing_data[0]:
            return False
        else:
            connection.start_next_cycle()
        self.used = True
        return True


class Pool:
    """Links to one server. Whoever wants one gets it by a callback, None when there is none to be had."""

    def __init__(self, loop: Loop, upstream: Upstream) -> None:
        """With nothing kept."""
        self._loop = loop
        self._upstream = upstream
        self._kept: list[Link] = []
        self._expiring = Deadlines[Link](_KEPT_SECONDS)
        self._gone = False
        self._waiting: dict[int, Callable[[Link | None], None]] = {}
        self._asked = 0

    @property
    def due_at(self) -> float | None:
        """When a kept one has been kept for long enough."""
        return self._expiring.first

    def expire(self, now: float) -> None:
        """Close those that were kept for long enough."""
        for link in self._expiring.take_expired(now):
            self._drop(link)

    def take(self, on_link: Callable[[Link | None], None], *, fresh: bool = False) -> int:
        """Call back at once if a link is kept, else when there is one; a number for :meth:`cancel`."""
        while self._kept and not fresh:
            link = self._kept.pop()
            self._expiring.stop(link)
            if link.channel.silent:
                on_link(link)
                return 0
            link.channel.close()
        if self._gone:
            on_link(None)
            return 0
        self._asked += 1
        number = self._asked
        self._waiting[number] = on_link
        self._upstream.connect(lambda end: self._arrive(number, end))
        return number

    def cancel(self, number: int) -> None:
        """Do not call back any more."""
        self._waiting.pop(number, None)

    def give_back(self, link: Link) -> None:
        """Keep it for the next request, or close it."""
        link.attach(None)
        if self._gone or len(self._kept) >= _MOST_KEPT or not link.renew():
            link.channel.close()
            return
        self._kept.append(link)
        self._expiring.start(link, self._loop.now)
        # Whatever happens to it now, it is of no use any more.
        link.attach(lambda: self._drop(link))
        link.channel.watch(READ)

    def upstream_gone(self) -> None:
        """The server has ended: nobody who waits gets a link."""
        self._gone = True
        self.close()

    def close(self) -> None:
        """Close those that are kept, and let nobody wait."""
        self._gone = True
        for link in tuple(self._kept):
            self._drop(link)
        waiting, self._waiting = self._waiting, {}
        for on_link in waiting.values():
            on_link(None)

    def _arrive(self, number: int, end: _socket.socket | None) -> None:
        on_link = self._waiting.pop(number, None)
        if on_link is None or self._gone:
            if end is not None:
                end.close()
            if on_link is not None:
                on_link(None)
            return
        if end is None:
            on_link(None)
            return
        try:
            link = Link(self._loop, end)
        except OSError:
            end.close()
            on_link(None)
            return
        on_link(link)

    def _drop(self, link: Link) -> None:
        if link in self._kept:
            self._kept.remove(link)
        self._expiring.stop(link)
        link.channel.close()
