"""One connection of the server's that a rule allows: from its acceptance to the last byte."""

from __future__ import annotations

import _socket

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.network.addresses import Address
from mcp_client.network.engine.dial import Dial
from mcp_client.network.engine.loop import READ, Loop
from mcp_client.network.engine.proxy import Proxy, Tunnel
from mcp_client.network.engine.sockets import NO_SIGNAL, reset
from mcp_client.network.engine.splice import Splice
from mcp_client.network.sni import LONGEST_HELLO, read_hello

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_client.network.counts import Tally
    from mcp_client.network.deadlines import Deadlines
    from mcp_client.network.decide import RuleSet
    from mcp_client.network.engine.resolve import Answer, Resolver


class Destination(NamedTuple):
    """What the server asked for: a name or an address, and a port; ``tls`` when the rule asks for TLS."""

    host: str | Address
    port: int
    tls: bool

    def __str__(self) -> str:
        host = str(self.host)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class Talk(NamedTuple):
    """What was read from the server already, and what it waits for before the other side's first byte."""

    early: bytes = b""
    opening: bytes = b""


SILENT = Talk()


class Services(NamedTuple):
    """What all connections share; ``slow`` holds attempts that another may join, see :class:`Dial`."""

    loop: Loop
    rules: RuleSet
    resolver: Resolver
    proxy: Proxy | None
    slow: Deadlines[Dial]


class Watcher(NamedTuple):
    """Who is told: that it may be dialled, that it moves bytes, that it is denied, that it has ended."""

    ready: Callable[[Connection], None]
    active: Callable[[Connection], None]
    denied: Callable[[Destination, str, str | None], None]
    ended: Callable[[Connection], None]


class Connection:
    """Whatever goes wrong ends it with a reset, so that the server fails at once instead of waiting."""

    def __init__(
        self,
        services: Services,
        watcher: Watcher,
        inner: _socket.socket,
        destination: Destination,
        tally: Tally,
        *,
        talk: Talk = SILENT,
    ) -> None:
        """``inner`` is the accepted socket, non-blocking."""
        self._services = services
        self._watcher = watcher
        self._inner = inner
        self._destination = destination
        self._tally = tally
        self._early, self._opening = talk
        self._dial: Dial | None = None
        self._outer: _socket.socket | None = None
        self._splice: Splice | None = None
        self._ended = False

    def start(self) -> None:
        """Say that it is ready to dial; with ``tls`` only after the first message named the right host."""
        if self._destination.tls:
            # Who waits for a word before the greeting gets it now.
            if not self._open():
                return
            self._services.loop.watch(self._inner.fileno(), READ, self._read_hello)
            if self._early:
                self._weigh_hello()
        else:
            self._watcher.ready(self)

    def dial(self) -> None:
        """Look up, check, connect."""
        host, port, _ = self._destination
        proxy = self._services.proxy
        if proxy is not None and proxy.serves(host, port):
            if proxy.unusable:
                self.cut(proxy.unusable)
            else:
                self._services.resolver.resolve(proxy.host, self._dial_proxy)
        elif isinstance(host, Address):
            self._dial_checked([host], port)
        else:
            self._services.resolver.resolve(host, self._check)

    def cut(self, reason: str) -> None:
        """End it with a reset, and count that as a failure."""
        if self._splice is not None:
            self._splice.cut(reason)
        elif not self._ended:
            self._tally.fail(reason)
            self._abandon()

    @property
    def delivers(self) -> bool:
        """Whether there is something left to deliver, once the server itself is gone."""
        if self._splice is not None:
            return not self._splice.delivered
        try:
            return bool(self._early or self._inner.recv(1, _socket.MSG_PEEK))
        except OSError:
            return False

    def finish(self, reason: str) -> None:
        """End it now that the server is gone; ``reason`` is for what could not be delivered any more."""
        if self._splice is not None and self._splice.delivered:
            self._splice.close()
            return
        if self._splice is not None:
            self._tally.fail(reason)
        self.cut(reason)

    def _deny(self, reason: str, grant: str | None) -> None:
        self._watcher.denied(self._destination, reason, grant)
        self._abandon()

    def _abandon(self) -> None:
        self._ended = True
        loop = self._services.loop
        if self._dial is not None:
            self._dial.cancel()
        for end in (self._inner, self._outer):
            if end is not None:
                loop.forget(end.fileno())
                reset(end)
        self._watcher.ended(self)

    def _read_hello(self) -> None:
        try:
            data = self._inner.recv(LONGEST_HELLO)
        except BlockingIOError:
            return
        except OSError as error:
            self.cut(error.strerror or "reset")
            return
        self._early += data
        self._weigh_hello(ended=not data)

    def _weigh_hello(self, *, ended: bool = False) -> None:
        hello = read_hello(self._early)
        if hello.name:
            if hello.name == self._destination.host:
                self._services.loop.forget(self._inner.fileno())
                self._watcher.ready(self)
            else:
                self._deny("the TLS connection is for another host", None)
        elif hello.wrong:
            self._deny(hello.wrong, None)
        elif ended or len(self._early) > LONGEST_HELLO:
            self._deny("there is no TLS ClientHello", None)

    def _check(self, answer: Answer) -> None:
        """The addresses that are dialled are these very ones: there is no second look-up to lie at."""
        if self._ended:
            return
        port, rules = self._destination.port, self._services.rules
        verdicts = {address: rules.check_address(address, port) for address in answer.addresses}
        good = [address for address, verdict in verdicts.items() if verdict.allowed]
        if good:
            self._dial_checked(good, port)
        elif verdicts:
            verdict = next(iter(verdicts.values()))
            self._deny(f"its address: {verdict.reason}", verdict.grant)
        else:
            self.cut(answer.failure or "it has no address")

    def _dial_checked(self, addresses: list[Address], port: int) -> None:
        self._dial = Dial(self._services.loop, self._services.slow, addresses, port, self._on_dialled)
        self._dial.start_next()

    def _on_dialled(self, outer: _socket.socket | None, failure: str) -> None:
        self._dial = None
        if outer is None:
            if isinstance(self._destination.host, str):
                self._services.resolver.forget(self._destination.host)
            self.cut(failure)
        else:
            self._outer = outer
            self._join()

    def _dial_proxy(self, answer: Answer) -> None:
        """The proxy is the operator's choice, so its address is not checked."""
        proxy = self._services.proxy
        if self._ended or proxy is None:
            return
        if not answer.addresses:
            self.cut(f"the proxy: {answer.failure or 'it has no address'}")
            return
        loop, slow = self._services.loop, self._services.slow
        self._dial = Dial(loop, slow, answer.addresses, proxy.port, self._on_proxy)
        self._dial.start_next()

    def _on_proxy(self, outer: _socket.socket | None, failure: str) -> None:
        self._dial = None
        proxy = self._services.proxy
        if outer is None or proxy is None:
            self.cut(f"the proxy: {failure}")
            return
        self._outer = outer
        target = str(self._destination.host), self._destination.port
        Tunnel(self._services.loop, outer, proxy, target, self._on_tunnel).start()

    def _on_tunnel(self, failure: str) -> None:
        if failure:
            self.cut(failure)
        else:
            self._join()

    def _join(self) -> None:
        if self._outer is None or not self._open():
            return
        self._tally.allowed += 1
        self._watcher.active(self)
        self._splice = Splice(
            self._services.loop,
            self._inner,
            self._outer,
            self._tally,
            early=self._early,
            on_activity=lambda: self._watcher.active(self),
            on_end=self._on_end,
        )
        self._splice.start()

    def _open(self) -> bool:
        """Send what the server waits for; it is short and the first of its connection."""
        if self._opening:
            try:
                whole = self._inner.send(self._opening, NO_SIGNAL) == len(self._opening)
            except OSError:
                whole = False
            self._opening = b""
            if not whole:
                self.cut("the server does not read")
            return whole
        return True

    def _on_end(self, _reason: str) -> None:
        self._ended = True
        self._watcher.ended(self)
