"""Notice that the MCP client went away, without ever reading a byte of its stream."""

from __future__ import annotations

import fcntl
import os
import select
import stat
import struct
import sys
import termios

from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

# Only Linux tells that the peer of a socket will send no more; elsewhere both directions must be closed.
if sys.platform == "linux":
    PEER_CLOSED = select.POLLRDHUP
else:
    PEER_CLOSED = select.POLLHUP
_STANDARD_OUTPUT = 1
HUNG_UP = select.POLLHUP | select.POLLERR | PEER_CLOSED


def can_hang_up(descriptor: int) -> bool:
    """Whether the other side can close: pipes and sockets. A file or /dev/null has no other side."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


def watch_parent() -> int | None:
    """A descriptor that becomes readable when the process that started us ends; None where there is none.

    A server can open its own standard input for writing, through /proc/self/fd, and then its pipe never
    hangs up; whoever started us ends all the same. To be called first: an orphan has another parent.
    """
    if sys.platform != "linux" or os.isatty(0) or not can_hang_up(0):
        return None
    try:
        return os.pidfd_open(os.getppid())
    except OSError:
        return None


def unread_bytes(descriptor: int) -> int:
    """Bytes the client sent that nobody read yet; 0 when the kernel will not say."""
    answer = bytearray(4)
    try:
        fcntl.ioctl(descriptor, termios.FIONREAD, answer)
    except OSError:
        return 0
    return int(struct.unpack("=i", answer)[0])


def let_go_of_output() -> None:
    """Whoever reads it must see end of file when the last other holder is gone: ours may not keep it open."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, _STANDARD_OUTPUT)
    os.close(null)


class ClientWatch:
    """While a package is being fetched, end this process as soon as the client is gone.

    A client that closed its end but left requests unread (``printf ... | mcp run``) still wants answers, so
    it does not count as gone. The thread is over before the block is left: a process with threads must not
    fork.
    """

    def __init__(self, descriptor: int = 0) -> None:
        """Watch ``descriptor``, standard input unless a test says otherwise."""
        self._descriptor = descriptor

    def __enter__(self) -> None:
        """Begin to watch."""
        from threading import Thread

        self._wake_read, self._wake_write = os.pipe()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        os.close(self._wake_write)
        self._thread.join()
        os.close(self._wake_read)

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if can_hang_up(self._descriptor):
            poll.register(self._descriptor, PEER_CLOSED)
        ready = dict(poll.poll())
        hung_up = ready.get(self._descriptor, 0) & HUNG_UP and self._wake_read not in ready
        if hung_up and unread_bytes(self._descriptor) == 0:
            # What was staged in the cache is swept by the next writer.
            try:
                os.write(2, b"mcp: the client left before the server was there; nothing was run\n")
            finally:
                os._exit(0)
