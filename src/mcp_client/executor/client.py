"""Notice that the MCP client went away, without ever reading a byte of its stream."""

from __future__ import annotations

import os
import select
import stat
import sys

from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_STANDARD_OUTPUT = 1


def can_hang_up(descriptor: int) -> bool:
    """Whether the other side can close: pipes and sockets. A file or /dev/null has no other side."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


if sys.platform == "linux":
    _PEER_CLOSED = select.POLLRDHUP
    _HUNG_UP = select.POLLHUP | select.POLLERR | select.POLLRDHUP

    class HangUp:
        """The other side's end of a descriptor that can_hang_up(), to be registered with poll(2)."""

        events = _PEER_CLOSED

        def __init__(self, descriptor: int) -> None:
            """Nothing is read from it."""
            self._descriptor = descriptor

        def fileno(self) -> int:
            """What is polled, for ``events``."""
            return self._descriptor

        def happened(self, ready: dict[int, int]) -> bool:
            """Whether it is among what poll(2) found."""
            return bool(ready.get(self._descriptor, 0) & _HUNG_UP)

    def watch_process(pid: int) -> int | None:
        """A descriptor that becomes readable when the process ends; None where it has, or cannot be had."""
        try:
            return os.pidfd_open(pid)
        except OSError:
            return None

    def stop_watching(descriptor: int) -> None:
        """Close what watch_process() gave."""
        os.close(descriptor)

else:
    _queues: dict[int, select.kqueue] = {}

    class HangUp:
        """As on Linux. poll(2) of macOS would return at once for as long as anything is unread."""

        events = select.POLLIN

        def __init__(self, descriptor: int) -> None:
            """Nothing is read from it; what cannot be watched never hangs up."""
            self._queue = select.kqueue()
            wanted = select.kevent(descriptor, select.KQ_FILTER_READ, select.KQ_EV_ADD | select.KQ_EV_CLEAR)
            try:
                self._queue.control([wanted], 0, 0)
            except OSError:
                return

        def fileno(self) -> int:
            """What is polled, for ``events``."""
            return self._queue.fileno()

        def happened(self, ready: dict[int, int]) -> bool:
            """Whether it is among what poll(2) found."""
            if self.fileno() not in ready:
                return False
            return any(event.flags & select.KQ_EV_EOF for event in self._queue.control(None, 1, 0))

    def watch_process(pid: int) -> int | None:
        """As on Linux, by a kqueue(2)."""
        queue = select.kqueue()
        wanted = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        try:
            queue.control([wanted], 0, 0)
        except OSError:
            queue.close()
            return None
        _queues[queue.fileno()] = queue
        return queue.fileno()

    def stop_watching(descriptor: int) -> None:
        """Close what watch_process() gave."""
        _queues.pop(descriptor).close()


def watch_parent() -> int | None:
    """A descriptor that becomes readable when the process that started us ends; None where there is none.

    A server can open its own standard input for writing, through /proc/self/fd, and then its pipe never
    hangs up; whoever started us ends all the same. To be called first: an orphan has another parent.
    """
    return None if os.isatty(0) or not can_hang_up(0) else watch_process(os.getppid())


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
        watched = HangUp(self._descriptor) if can_hang_up(self._descriptor) else None
        if watched is not None:
            poll.register(watched, watched.events)
        hung_up = False
        while not hung_up:
            ready = dict(poll.poll())
            if self._wake_read in ready:
                return
            hung_up = watched is not None and watched.happened(ready)
        from mcp_client.executor.unread import unread_bytes

        if unread_bytes(self._descriptor) == 0:
            # What was staged in the cache is swept by the next writer.
            try:
                os.write(2, b"mcp: the client left before the server was there; nothing was run\n")
            finally:
                os._exit(0)
