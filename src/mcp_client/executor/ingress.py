"""The outer half of the way in: connections to what the server listens on, from sockets that init makes."""

import _socket
import select
import time
from collections import deque
from collections.abc import Callable

from mcp_client.sandbox.linux.ingress import FAMILIES, V4, V6, ask, receive

OnSocket = Callable[[_socket.socket | None], None]

__all__ = ("LOOPBACK", "V4", "V6", "Ingress", "LoopbackIngress", "open_ingress")

LOOPBACK = {V4: "127.0.0.1", V6: "::1"}
# Asked for before the last one is used, so that a connection costs no round trip.
_LOW = 4
# When a question that cannot have been lost is put again all the same.
_PATIENCE_SECONDS = 1.0


class Ingress:
    """A companion of the supervisor's loop, and the proxy's way to the server.

    Until :meth:`open` says where the server listens, whoever wants to connect waits.
    """

    def __init__(self, channel: int, port: int) -> None:
        """``channel`` is the supervisor's end of the socket to init, non-blocking."""
        self.port = port
        self._channel = _socket.socket(fileno=channel)
        self._there = True
        self._family: bytes | None = None
        self._stock: dict[bytes, deque[_socket.socket]] = {V4: deque(), V6: deque()}
        self._waiting: dict[bytes, deque[OnSocket]] = {V4: deque(), V6: deque()}
        self._held: deque[OnSocket] = deque()
        self._asked_at: dict[bytes, float] = {}

    @property
    def due_at(self) -> float | None:
        """When to ask again, if nobody answered."""
        waiting = [at for family, at in self._asked_at.items() if self._waiting[family]]
        return min(waiting) + _PATIENCE_SECONDS if self._there and waiting else None

    def watch(self, poll: select.poll) -> None:
        """Register the channel."""
        poll.register(self._channel, select.POLLIN)

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """Take what has arrived, without waiting."""
        if not self._there:
            return
        if self._channel.fileno() in ready:
            self._take_over()
            if not self._there:
                poll.unregister(self._channel)
                return
        due = self.due_at
        if due is not None and time.monotonic() >= due:
            self._asked_at.clear()
            for family in (V4, V6):
                self._provide(family)

    def take(self, family: bytes, on_socket: OnSocket) -> None:
        """Connect at the server's own address of ``family``; see :meth:`connect`."""
        self._waiting[family].append(on_socket)
        self._provide(family)

    def open(self, family: bytes) -> None:
        """The server listens, at the address of ``family``."""
        self._family = family
        for other in self._stock:
            while other != family and self._stock[other]:
                self._stock[other].pop().close()
        while self._held:
            self.take(family, self._held.popleft())

    def connect(self, on_socket: OnSocket) -> None:
        """Call back, now or later, with a connecting non-blocking socket, or None where there is no more."""
        if self._family is not None:
            self.take(self._family, on_socket)
        elif self._there:
            self._held.append(on_socket)
        else:
            on_socket(None)

    def close(self) -> None:
        """Nobody can connect any more."""
        self._there = False
        self._channel.close()
        for stock in self._stock.values():
            while stock:
                stock.pop().close()
        self._disappoint()

    def _provide(self, family: bytes) -> None:
        stock, waiting = self._stock[family], self._waiting[family]
        while stock and waiting:
            on_socket = waiting.popleft()
            on_socket(self._connecting(stock.popleft(), family))
        if not self._there:
            self._disappoint()
        elif len(stock) < _LOW and family not in self._asked_at:
            self._ask(family)

    def _ask(self, family: bytes) -> None:
        self._asked_at[family] = time.monotonic()
        try:
            ask(self._channel, family)
        except BlockingIOError:
            # Init has not come to the questions before.
            return
        except OSError:
            self._there = False
            self._disappoint()

    def _take_over(self) -> None:
        try:
            family, batch = receive(self._channel)
        except BlockingIOError:
            return
        except OSError:
            family, batch = b"", []
        if family not in self._stock:
            self._there = False
            self._disappoint()
            return
        self._asked_at.pop(family, None)
        self._stock[family].extend(batch)
        if batch:
            self._provide(family)
        else:
            # There is no room for any, or no such family here.
            waiting, self._waiting[family] = self._waiting[family], deque()
            for on_socket in waiting:
                on_socket(None)

    def _connecting(self, end: _socket.socket, family: bytes) -> _socket.socket | None:
        try:
            end.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            end.connect((LOOPBACK[family], self.port))
        except BlockingIOError:
            return end
        except OSError:
            end.close()
            return None
        return end

    def _disappoint(self) -> None:
        for waiting in (*self._waiting.values(), self._held):
            while waiting:
                waiting.popleft()(None)


class LoopbackIngress(Ingress):
    """The same where the server listens on this machine's own loopback: whoever asks gets a new socket."""

    def __init__(self, port: int) -> None:
        """``port`` is where the server was told to listen."""
        self.port = port
        self._there = True
        self._family = None
        self._held = deque()
        self._stock, self._waiting, self._asked_at = {}, {}, {}

    @property
    def due_at(self) -> float | None:
        """Nothing is waited for."""
        return None

    def watch(self, poll: select.poll) -> None:
        """Nothing is waited for."""

    def move(self, poll: select.poll, ready: dict[int, int]) -> None:
        """Nothing is waited for."""

    def take(self, family: bytes, on_socket: OnSocket) -> None:
        """As in a network of the server's own, but at once."""
        try:
            end = _socket.socket(FAMILIES[family], _socket.SOCK_STREAM)
        except OSError:
            on_socket(None)
            return
        end.setblocking(False)
        on_socket(self._connecting(end, family))

    def close(self) -> None:
        """Nobody can connect any more."""
        self._there = False
        self._disappoint()


def open_ingress(channel: int | None, port: int) -> Ingress:
    """The way to a server at ``port`` of its own network, by ``channel``, or of this machine without one."""
    return LoopbackIngress(port) if channel is None else Ingress(channel, port)
