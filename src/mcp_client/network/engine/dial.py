"""Connect to the first address that answers: happy eyeballs (RFC 8305)."""

from __future__ import annotations

import _socket
import os

from mcp_client.light import TYPE_CHECKING, partial
from mcp_client.network.engine.loop import WRITE, Loop
from mcp_client.network.engine.sockets import connecting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mcp_client.network.addresses import Address
    from mcp_client.network.deadlines import Deadlines

STAGGER_SECONDS = 0.25


def interleave(addresses: Iterable[Address]) -> list[Address]:
    """Families in turn, beginning with the first one's; within each the order stays (RFC 8305, 4)."""
    ordered = list(addresses)
    if not ordered:
        return []
    same = [address for address in ordered if address.bits == ordered[0].bits]
    other = [address for address in ordered if address.bits != ordered[0].bits]
    mixed: list[Address] = []
    while same or other:
        mixed += same[:1] + other[:1]
        same, other = same[1:], other[1:]
    return mixed


class Dial:
    """Attempts to several addresses, each started when the one before has failed or is slow."""

    def __init__(
        self,
        loop: Loop,
        slow: Deadlines[Dial],
        addresses: Iterable[Address],
        port: int,
        on_done: Callable[[_socket.socket | None, str], None],
    ) -> None:
        """``slow`` tells when to call :meth:`start_next`; ``on_done`` gets a socket, or why there is none."""
        self._loop = loop
        self._slow = slow
        self._left = interleave(addresses)
        self._port = port
        self._on_done = on_done
        self._attempts: dict[int, _socket.socket] = {}
        self._failure = "it has no address"

    def start_next(self) -> None:
        """Try one more address, beside those that are being tried."""
        while self._left:
            address = self._left.pop(0)
            try:
                attempt = connecting(address, self._port)
            except OSError as error:
                self._failure = error.strerror or "it cannot be reached"
                continue
            descriptor = attempt.fileno()
            self._attempts[descriptor] = attempt
            self._loop.watch(descriptor, WRITE, partial(self._look, descriptor))
            if self._left:
                self._slow.start(self, self._loop.now)
            return
        if not self._attempts:
            self._finish(None)

    def cancel(self) -> None:
        """Give up all attempts without a word."""
        self._slow.stop(self)
        for descriptor, attempt in self._attempts.items():
            self._loop.forget(descriptor)
            attempt.close()
        self._attempts.clear()
        self._left.clear()

    def _look(self, descriptor: int) -> None:
        attempt = self._attempts[descriptor]
        error = attempt.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if not error:
            try:
                attempt.getpeername()
            except OSError:
                # Not connected yet; there was nothing to see.
                return
        self._loop.forget(descriptor)
        del self._attempts[descriptor]
        if error:
            self._failure = os.strerror(error)
            attempt.close()
            self._slow.stop(self)
            self.start_next()
        else:
            self._finish(attempt)

    def _finish(self, connected: _socket.socket | None) -> None:
        self.cancel()
        self._on_done(connected, "" if connected else self._failure)
