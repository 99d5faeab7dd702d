"""select.epoll as far as the event loop uses it, on kqueue(2).

Level-triggered like the original. An event comes as the descriptor and READ, WRITE or HANG_UP; a filter that
has reached the end of a stream is readable, and hung up where that is asked for.
"""

import select
import sys

READ, WRITE, HANG_UP = 1, 2, 4

if sys.platform != "linux":

    class Poller:
        """What waits for many descriptors at once."""

        def __init__(self) -> None:
            """With nothing to wait for."""
            self._queue = select.kqueue()
            self._events: dict[int, int] = {}

        def fileno(self) -> int:
            """Readable when there is an event."""
            return self._queue.fileno()

        def register(self, descriptor: int, events: int) -> None:
            """Wait for ``events``."""
            self._events[descriptor] = 0
            self.modify(descriptor, events)

        def modify(self, descriptor: int, events: int) -> None:
            """Wait for ``events`` instead. Raises FileNotFoundError where it was not registered."""
            before = self._filters(self._of(descriptor)).items()
            after = self._filters(events).items()
            changes = [
                *(select.kevent(descriptor, one, select.KQ_EV_DELETE) for one, _ in before - after),
                *(select.kevent(descriptor, one, select.KQ_EV_ADD | how) for one, how in after - before),
            ]
            if changes:
                self._queue.control(changes, 0, 0)
            self._events[descriptor] = events

        def unregister(self, descriptor: int) -> None:
            """Wait for nothing of it. Raises FileNotFoundError where it was not registered."""
            for one in self._filters(self._of(descriptor)):
                try:
                    self._queue.control([select.kevent(descriptor, one, select.KQ_EV_DELETE)], 0, 0)
                except OSError:
                    # It was closed, which took it out.
                    continue
            del self._events[descriptor]

        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            """At most ``most`` events, after ``timeout`` seconds at most; a negative one waits for ever."""
            found: dict[int, int] = {}
            for event in self._queue.control(None, most, None if timeout < 0 else timeout):
                wanted = self._events.get(event.ident, 0)
                what = WRITE if event.filter == select.KQ_FILTER_WRITE else READ
                if event.flags & select.KQ_EV_EOF:
                    what |= HANG_UP
                if what & wanted:
                    found[event.ident] = found.get(event.ident, 0) | what & wanted
            return list(found.items())

        def close(self) -> None:
            """Wait for nothing any more."""
            self._queue.close()

        def _of(self, descriptor: int) -> int:
            try:
                return self._events[descriptor]
            except KeyError:
                raise FileNotFoundError(descriptor) from None

        @staticmethod
        def _filters(events: int) -> dict[int, int]:
            """Filters by how they are told: bytes that nobody wants to read are told only once."""
            filters = {select.KQ_FILTER_WRITE: 0} if events & WRITE else {}
            if events & (READ | HANG_UP):
                filters[select.KQ_FILTER_READ] = 0 if events & READ else select.KQ_EV_CLEAR
            return filters
