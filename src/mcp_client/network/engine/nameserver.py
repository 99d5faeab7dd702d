"""The name service inside the sandbox: our answers on sockets that init has bound there, UDP and TCP."""

from __future__ import annotations

import _socket

from mcp_client.light import TYPE_CHECKING
from mcp_client.network.deadlines import Deadlines
from mcp_client.network.dns import answer
from mcp_client.network.engine.loop import PAUSE_SECONDS, READ, Loop
from mcp_client.network.engine.sockets import NO_SIGNAL, accept

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_client.network.pool import Pair

_LARGEST_DATAGRAM = 4096
_LARGEST_READ = 512
# A client asks two questions for a connection; who asks more at once than this waits a moment.
_QUESTIONS_AT_ONCE = 100
_MOST_STREAMS = 16
_STREAM_SECONDS = 5.0
_LENGTH = 2


class NameService:
    """Answers with ``look_up`` (see :func:`mcp_client.network.dns.answer`)."""

    def __init__(self, loop: Loop, look_up: Callable[[str], Pair | None]) -> None:
        """Without any socket yet."""
        self._loop = loop
        self._look_up = look_up
        self._sockets: list[_socket.socket] = []
        self._streams: dict[_socket.socket, bytes] = {}
        self._idle = Deadlines[_socket.socket](_STREAM_SECONDS)
        self._moment, self._questions = 0.0, 0

    @property
    def due_at(self) -> float | None:
        """When :meth:`expire` has something to do."""
        return self._idle.first

    def serve(self, end: _socket.socket) -> None:
        """Take over a bound datagram socket or a listening stream socket."""
        end.setblocking(False)
        self._sockets.append(end)
        serve = self._answer_datagrams if end.type == _socket.SOCK_DGRAM else self._accept
        self._loop.watch(end.fileno(), READ, lambda: serve(end))

    def expire(self) -> None:
        """Close streams that ask nothing."""
        for stream in self._idle.take_expired(self._loop.now):
            self._close(stream)

    def close(self) -> None:
        """Close all sockets."""
        for end in (*self._streams, *self._sockets):
            self._loop.forget(end.fileno())
            end.close()

    def _answer_datagrams(self, end: _socket.socket) -> None:
        while self._has_patience(end):
            try:
                query, client = end.recvfrom(_LARGEST_DATAGRAM)
                reply = answer(query, self._look_up)
                if reply is not None:
                    end.sendto(reply, _socket.MSG_DONTWAIT, client)
            except BlockingIOError:
                return
            except OSError:
                # The client has gone, or told a port that nobody can be reached at.
                continue

    def _has_patience(self, end: _socket.socket) -> bool:
        """Count one event; after too many in one moment this socket has to wait for the next."""
        if self._loop.now - self._moment > PAUSE_SECONDS:
            self._moment, self._questions = self._loop.now, 0
        self._questions += 1
        if self._questions <= _QUESTIONS_AT_ONCE:
            return True
        self._loop.pause(end.fileno())
        return False

    def _accept(self, listener: _socket.socket) -> None:
        if not self._has_patience(listener):
            return
        try:
            stream = accept(listener)
        except OSError:
            return
        if len(self._streams) >= _MOST_STREAMS:
            oldest = next(iter(self._streams))
            self._close(oldest)
        self._streams[stream] = b""
        self._idle.start(stream, self._loop.now)
        self._loop.watch(stream.fileno(), READ, lambda: self._read(stream))

    def _read(self, stream: _socket.socket) -> None:
        """Queries with their length before them (RFC 1035, 4.2.2), in whatever pieces they come."""
        if not self._has_patience(stream):
            return
        try:
            data = stream.recv(_LARGEST_READ)
            held = self._streams[stream] + data
            while len(held) >= _LENGTH:
                end = _LENGTH + int.from_bytes(held[:_LENGTH], "big")
                if len(held) < end:
                    break
                reply = answer(held[_LENGTH:end], self._look_up)
                held = held[end:]
                if reply is None:
                    raise ConnectionAbortedError
                framed = len(reply).to_bytes(_LENGTH, "big") + reply
                # An answer is small: a client for which there is no room does not read its answers.
                if stream.send(framed, NO_SIGNAL) < len(framed):
                    raise ConnectionAbortedError
                self._idle.start(stream, self._loop.now)
            if not data or len(held) > _LARGEST_DATAGRAM:
                raise ConnectionAbortedError
            self._streams[stream] = held
        except OSError:
            self._close(stream)

    def _close(self, stream: _socket.socket) -> None:
        del self._streams[stream]
        self._idle.stop(stream)
        self._loop.forget(stream.fileno())
        stream.close()
