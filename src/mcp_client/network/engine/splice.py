"""Join two connected sockets until both directions have ended.

Bytes are copied through one buffer: splice(2) through a pipe was no faster, and takes four descriptors more.
"""

from __future__ import annotations

import _socket

from mcp_client.light import TYPE_CHECKING
from mcp_client.network.engine.loop import READ, WRITE, Loop
from mcp_client.network.engine.sockets import NO_SIGNAL, reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_client.network.counts import Tally

_NOTHING = memoryview(b"")


class _Flow:
    """One direction: ``pending`` was read and not yet sent; ``ended`` when there is no more to read."""

    __slots__ = ("done", "ended", "pending", "source", "target")

    def __init__(self, source: _socket.socket, target: _socket.socket) -> None:
        self.source, self.target = source, target
        self.pending = _NOTHING
        self.ended = self.done = False


class Splice:
    """A slow receiver stops its sender, an end of one direction leaves the other open, a reset is passed on.

    ``tally`` counts bytes as they are sent. ``on_activity`` is called whenever bytes move, ``on_end`` once,
    after both sockets were closed, with an empty text or what cut the connection.
    """

    def __init__(
        self,
        loop: Loop,
        inner: _socket.socket,
        outer: _socket.socket,
        tally: Tally,
        *,
        early: bytes = b"",
        on_activity: Callable[[], None],
        on_end: Callable[[str], None],
    ) -> None:
        """``inner`` is the server's side; ``early`` was read from it already. Both are non-blocking."""
        self._loop = loop
        self._tally = tally
        self._on_activity, self._on_end = on_activity, on_end
        self._out, self._in = _Flow(inner, outer), _Flow(outer, inner)
        self._sockets = inner, outer
        self._out.pending = memoryview(early)
        loop.backlog += len(early)
        self._closed = False

    @property
    def delivered(self) -> bool:
        """Whether all that the server will ever write is on its way."""
        return self._out.done

    def start(self) -> None:
        """Begin; the end may come at once."""
        self._step(self._out, self._in)

    def _on_inner(self) -> None:
        self._step(self._out, self._in)

    def _on_outer(self) -> None:
        self._step(self._in, self._out)

    def _step(self, *flows: _Flow) -> None:
        """What one socket is ready for: to be read in the first flow, to be written in the second."""
        try:
            for flow in flows:
                self._move(flow)
        except OSError as error:
            self.cut(error.strerror or "reset")
            return
        if self._closed:
            return
        if self._in.done and self._out.done:
            self.close()
            return
        inner, outer = self._sockets
        self._loop.watch(inner.fileno(), self._events(self._out, self._in), self._on_inner)
        self._loop.watch(outer.fileno(), self._events(self._in, self._out), self._on_outer)

    def _events(self, read: _Flow, written: _Flow) -> int:
        events = WRITE if written.pending else 0
        return events if read.pending or read.ended else events | READ

    def _move(self, flow: _Flow) -> None:
        if flow.done:
            return
        if not flow.pending and not flow.ended:
            buffer = self._loop.buffer
            try:
                size = flow.source.recv_into(buffer, self._loop.room)
            except BlockingIOError:
                return
            if size:
                self._on_activity()
                sent = self._send(flow, buffer[:size])
                if sent < size:
                    flow.pending = memoryview(bytes(buffer[sent:size]))
                    self._loop.backlog += size - sent
            else:
                flow.ended = True
        elif flow.pending:
            sent = self._send(flow, flow.pending)
            flow.pending = flow.pending[sent:] if sent < len(flow.pending) else _NOTHING
            self._loop.backlog -= sent
            self._on_activity()
        if flow.ended and not flow.pending:
            flow.done = True
            flow.target.shutdown(_socket.SHUT_WR)

    def _send(self, flow: _Flow, data: memoryview) -> int:
        try:
            sent = flow.target.send(data, NO_SIGNAL)
        except BlockingIOError:
            return 0
        if flow is self._out:
            self._tally.sent += sent
        else:
            self._tally.received += sent
        return sent

    def cut(self, reason: str) -> None:
        """End both sides with a reset."""
        for end in self._sockets:
            self._loop.forget(end.fileno())
            reset(end)
        self._finish(reason)

    def close(self) -> None:
        """End both sides; what was sent still arrives."""
        for end in self._sockets:
            self._loop.forget(end.fileno())
            end.close()
        self._finish("")

    def _finish(self, reason: str) -> None:
        self._closed = True
        self._loop.backlog -= len(self._in.pending) + len(self._out.pending)
        self._in.pending = self._out.pending = _NOTHING
        self._on_end(reason)
