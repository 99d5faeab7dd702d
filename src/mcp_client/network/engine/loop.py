"""The event loop of the engine: one thread, one epoll(7) or kqueue(2), and callbacks."""

from __future__ import annotations

import sys
import time

from mcp_client.light import TYPE_CHECKING, cached_property
from mcp_client.network.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform == "linux":
    import select

    READ, WRITE, HANG_UP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP
    Poller = select.epoll
else:
    from mcp_client.network import kqueue

    READ, WRITE, HANG_UP = kqueue.READ, kqueue.WRITE, kqueue.HANG_UP
    Poller = kqueue.Poller

_EVENTS_A_TURN = 64
PAUSE_SECONDS = 0.1
# What one read takes at most unless another size is wanted, and how much may lie in memory because its
# receiver is slow.
LARGEST_READ = 256 << 10
_SMALLEST_READ = 4 << 10
_BACKLOG = 4 << 20


class Loop:
    """Level-triggered. What a callback is told is a hint: it may find nothing to do.

    ``now`` is the monotonic clock at the start of this turn, ``buffer`` is scratch space that is free between
    two callbacks, ``backlog`` are the bytes that wait for a slow receiver.
    """

    def __init__(self, largest_read: int = LARGEST_READ) -> None:
        """With nothing to wait for; ``largest_read`` are the bytes of ``buffer``."""
        self._poller = Poller()
        self._watched: dict[int, tuple[int, Callable[[], None]]] = {}
        self._paused = Deadlines[int](PAUSE_SECONDS)
        self.now = time.monotonic()
        self._largest_read = largest_read
        self.backlog = 0

    def fileno(self) -> int:
        """Readable when a turn would have something to do; for somebody else's poll(2)."""
        return self._poller.fileno()

    @cached_property
    def buffer(self) -> memoryview:
        """Made when something is first read: many a server may connect, and never does."""
        return memoryview(bytearray(self._largest_read))

    @property
    def room(self) -> int:
        """How much may be read at a time: less, the more waits already."""
        return max(_SMALLEST_READ, min(self._largest_read, (_BACKLOG - self.backlog) >> 2))

    @property
    def due_at(self) -> float | None:
        """When a pause ends."""
        return self._paused.first

    def watch(self, descriptor: int, events: int, callback: Callable[[], None]) -> None:
        """Call back on ``events`` (READ, WRITE, HANG_UP, or 0 for none), instead of what was watched before.

        With 0 nothing is heard of the descriptor, not even that its peer is gone, which would be repeated.
        """
        before = self._watched.get(descriptor)
        if not events:
            self.forget(descriptor)
            return
        if before is None:
            self._poller.register(descriptor, events)
        elif before[0] != events:
            self._poller.modify(descriptor, events)
        self._watched[descriptor] = events, callback

    def forget(self, descriptor: int) -> None:
        """Stop watching; to be called before the descriptor is closed."""
        if self._watched.pop(descriptor, None) is not None:
            self._paused.stop(descriptor)
            # A paused one is not registered, and its number is not known any more.
            try:
                self._poller.unregister(descriptor)
            except FileNotFoundError:
                return

    def pause(self, descriptor: int) -> None:
        """Look away from it for a moment: whoever floods it waits."""
        if descriptor in self._watched:
            self._poller.unregister(descriptor)
            self._paused.start(descriptor, self.now)

    def turn(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds and call back once for each descriptor; whether there is one."""
        ready = self._poller.poll(timeout, _EVENTS_A_TURN)
        self.now = time.monotonic()
        for descriptor in self._paused.take_expired(self.now):
            self._poller.register(descriptor, self._watched[descriptor][0])
        for descriptor, _ in ready:
            watched = self._watched.get(descriptor)
            if watched is not None:
                watched[1]()
        return bool(ready)

    def close(self) -> None:
        """Forget everything."""
        self._watched.clear()
        self._poller.close()
