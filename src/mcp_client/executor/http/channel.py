"""One TCP socket of the proxy: what it sends and cannot yet be taken, what it watches, how it ends."""

import _socket
from collections.abc import Callable, Sequence

from mcp_client.network.engine.loop import WRITE, Loop
from mcp_client.network.engine.pipe import Pipe
from mcp_client.network.engine.sockets import NO_SIGNAL, peer_ended, prepare, reset

# For h11 no more: each of its copies would be memory that is mapped, filled with zeros and given back
# (mallopt(3), M_MMAP_THRESHOLD).
LARGEST_COPY = 64 << 10
# Without them, the more bytes in one call the better, as long as they fit the processor's cache.
LARGEST_READ = 1 << 20
# One call takes no more than 1024 (IOV_MAX), and copying few small ones is cheaper than counting them.
_MOST_PIECES = 16
_NOTHING = memoryview(b"")


class Channel:
    """What was given to be sent may still be ``pending``; whoever feeds it stops until that is gone."""

    __slots__ = ("_callback", "_loop", "_pipe", "_rest", "_socket", "closed", "received", "sent")

    def __init__(self, loop: Loop, end: _socket.socket, callback: Callable[[], None]) -> None:
        """``end`` is made non-blocking and belongs to this; ``callback`` is told that something may go on."""
        end.setblocking(False)
        prepare(end)
        self._loop = loop
        self._socket = end
        self._callback = callback
        self._rest = _NOTHING
        self._pipe: Pipe | None = None
        self.sent = self.received = 0
        self.closed = False

    def watch(self, events: int) -> None:
        """Wait for ``events``, and for room as long as something is pending."""
        if not self.closed:
            self._loop.watch(
                self._socket.fileno(), events | WRITE if self.pending else events, self._callback
            )

    def read(self, most: int) -> memoryview | None:
        """At most ``most`` bytes, in the loop's scratch space: empty at the end, None when there is nothing.

        Raises OSError.
        """
        try:
            size = self._socket.recv_into(self._loop.buffer, min(most, self._loop.room))
        except BlockingIOError:
            return None
        self.received += size
        return self._loop.buffer[:size]

    def take(self, pipe: Pipe) -> int | None:
        """What came into the pipe instead: 0 at the end, None when there is nothing. Raises OSError."""
        size = pipe.fill(self._socket.fileno())
        self.received += size or 0
        return size

    @property
    def pending(self) -> bool:
        """Whether something waits for room."""
        return bool(self._rest) or (self._pipe is not None and self._pipe.held > 0)

    def write(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send as much as goes now, and keep the rest. Raises OSError."""
        if len(pieces) > _MOST_PIECES:
            pieces = (b"".join(pieces),)
        sent = 0 if self.pending else self._send(pieces)
        if self.pending or sent < sum(map(len, pieces)):
            before = len(self._rest)
            self._rest = memoryview(b"".join((self._rest, *pieces)))[sent:]
            self._loop.backlog += len(self._rest) - before

    def attach(self, pipe: Pipe) -> None:
        """What is in it follows what was written; it is closed when it has given everything, or with this."""
        self._pipe = pipe

    def flush(self) -> None:
        """Send more of what is pending. Raises OSError."""
        if self._rest:
            sent = self._send((self._rest,))
            self._loop.backlog -= sent
            self._rest = self._rest[sent:] if sent < len(self._rest) else _NOTHING
        if self._pipe is not None and not self._rest:
            if self._pipe.held:
                self.sent += self._pipe.drain(self._socket.fileno())
            if not self._pipe.held and not self._pipe.left:
                self._detach()

    def _send(self, pieces: Sequence[bytes | memoryview]) -> int:
        try:
            # A peer that has closed is an error here, not a signal to the process.
            sent = self._socket.sendmsg(pieces, (), NO_SIGNAL)
        except BlockingIOError:
            return 0
        self.sent += sent
        return sent

    def give_up(self) -> None:
        """Forget what is pending: nobody takes it any more."""
        self._loop.backlog -= len(self._rest)
        self._rest = _NOTHING
        self._detach()

    def _detach(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    @property
    def silent(self) -> bool:
        """Whether there is nothing to read, not even an end."""
        try:
            self._socket.recv(1, _socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @property
    def peer_ended(self) -> bool:
        """Whether the peer will send no more; what it sent before may still be unread."""
        return peer_ended(self._socket)

    def end_writing(self) -> None:
        """Let the peer see the end. Raises OSError."""
        self._socket.shutdown(_socket.SHUT_WR)

    def close(self, *, abort: bool = False) -> None:
        """Close, ``abort`` so that the peer sees an error rather than an end."""
        if self.closed:
            return
        self.closed = True
        self.give_up()
        self._loop.forget(self._socket.fileno())
        if abort:
            reset(self._socket)
        else:
            self._socket.close()
