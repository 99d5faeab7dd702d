"""Connections that know whom they may be made to, and until when: a network backend for httpcore."""

import time
from collections.abc import Callable, Iterable
from math import inf
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

from mcp_client.network.addresses import Address
from mcp_client.registry.reach import look_up

# Raises for an address of a host that must not be connected to.
Check = Callable[[str, Address], None]


class Patience(float):
    """Seconds that one step may take, given where httpcore takes a time-out.

    ``until`` (of ``time.monotonic()``) bounds all steps together, and ``budget`` the bytes that are read:
    a server that sends its header letter by letter, or interim answers without an end, is in time with
    each of them.
    """

    until: float = inf
    budget: float = inf

    def shorten(self, seconds: float) -> None:
        """From now on there are ``seconds`` at most for all steps together."""
        self.until = min(self.until, time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds for the next step; not above zero when the time is over."""
        return min(float(self), self.until - time.monotonic())


class Dialer(httpcore.NetworkBackend):
    """Looks a name up once, has each address checked, and connects to what was checked."""

    def __init__(self, check: Check | None) -> None:
        """Without a ``check`` every address is as good as another."""
        self._check = check
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers, within ``timeout`` for all of them."""
        patience = Patience(inf if timeout is None else timeout)
        patience.until = time.monotonic() + patience
        if isinstance(timeout, Patience):
            patience.until = min(patience.until, timeout.until)
        try:
            addresses = look_up(host)
        except UnicodeError as error:
            raise httpx.InvalidURL("no resolver takes its name") from error
        except OSError as error:
            raise httpcore.ConnectError(error.strerror or "no such host") from error
        if self._check is not None:
            # All of them before the first is tried: a name with a forbidden address is not to be trusted.
            for address in addresses:
                self._check(host, address)
        failure: Exception = httpcore.ConnectError("the name has no address")
        for tried, address in enumerate(addresses):
            # An address that swallows packets must not use up the time of the next one.
            share = patience.left() / (len(addresses) - tried)
            if share <= 0:
                raise httpcore.ConnectTimeout("no connection in time")
            try:
                stream = self._backend.connect_tcp(
                    str(address), port, None if share == inf else share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, patience)
        raise failure


class _Stream(httpcore.NetworkStream):
    """A stream that keeps to the Patience it is given, or to that of its connect: SOCKS gives none."""

    def __init__(self, inner: httpcore.NetworkStream, connecting: Patience) -> None:
        self._inner = inner
        self._connecting = connecting

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._inner.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))
        if isinstance(timeout, Patience):
            timeout.budget -= len(data)
            if timeout.budget < 0:
                raise httpcore.RemoteProtocolError("more than a header before the answer")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._connecting)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def _left(self, timeout: float | None, failure: type[httpcore.TimeoutException]) -> float | None:
        patience = self._connecting if timeout is None else timeout
        left = patience.left() if isinstance(patience, Patience) else patience
        if left <= 0:
            raise failure("the time is over")
        return None if left == inf else left
