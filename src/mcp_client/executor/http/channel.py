"""One TCP socket of the proxy: what it sends and cannot yet be taken, what it watches, how it ends."""

import _socket
from collections.abc import Callable, Sequence

from mcp_client.network.linux.loop import WRITE, Loop
from mcp_client.network.linux.sockets import peer_ended, prepare, reset

# More is slower: each copy would be memory that is mapped, filled with zeros and given back (mallopt(3),
# M_MMAP_THRESHOLD), and no longer fits the processor's cache.
LARGEST_READ = 64 << 10
# One call takes no more than 1024 (IOV_MAX), and copying few small ones is cheaper than counting them.
_MOST_PIECES = 16
_NOTHING = memoryview(b"")


class Channel:
    """``pending`` was given to be sent and is still here; whoever feeds it stops until that is gone."""

    __slots__ = ("_callback", "_loop", "_socket", "closed", "pending", "received", "sent")

    def __init__(self, loop: Loop, end: _socket.socket, callback: Callable[[], None]) -> None:
        """``end`` is made non-blocking and belongs to this; ``callback`` is told that something may go on."""
        end.setblocking(False)
        prepare(end)
        self._loop = loop
        self._socket = end
        self._callback = callback
        self.pending = _NOTHING
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

    def write(self, pieces: Sequence[bytes]) -> None:
        """Send as much as goes now, and keep the rest. Raises OSError."""
        if len(pieces) > _MOST_PIECES:
            pieces = (b"".join(pieces),)
        sent = 0 if self.pending else self._send(pieces)
        if self.pending or sent < sum(map(len, pieces)):
            before = len(self.pending)
            self.pending = memoryview(b"".join((self.pending, *pieces)))[sent:]
            self._loop.backlog += len(self.pending) - before

    def flush(self) -> None:
        """Send more of what is pending. Raises OSError."""
        if self.pending:
            sent = self._send((self.pending,))
            self._loop.backlog -= sent
            self.pending = self.pending[sent:] if sent < len(self.pending) else _NOTHING

    def _send(self, pieces: Sequence[bytes | memoryview]) -> int:
        try:
            # MSG_NOSIGNAL: a peer that has closed is an error here, not a signal to the process.
            sent = self._socket.sendmsg(pieces, (), _socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        self.sent += sent
        return sent

    def give_up(self) -> None:
        """Forget what is pending: nobody takes it any more."""
        self._loop.backlog -= len(self.pending)
        self.pending = _NOTHING

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
