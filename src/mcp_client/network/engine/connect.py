"""An HTTP proxy on loopback, where a server cannot have a network of its own: it says where it wants to go.

CONNECT (RFC 9110, 9.3.6) for everything, and for plain http the absolute form of a request (RFC 9112, 3.2.2),
which goes on as the first and last of its connection. Every other program of this machine can connect here,
so a secret is asked for, which the server finds in the proxy's URL. The decision, and all that follows, is
the engine's.
"""

import _socket
import binascii
import errno
from collections.abc import Callable
from hmac import compare_digest
from typing import NamedTuple

from mcp_client.network.addresses import Address, parse_address
from mcp_client.network.deadlines import Deadlines
from mcp_client.network.engine.connection import Talk
from mcp_client.network.engine.loop import READ, Loop
from mcp_client.network.engine.sockets import NO_SIGNAL, accept, reset
from mcp_client.network.rules import normal_name

_LONGEST_HEAD = 16 << 10
_HEAD_SECONDS = 10.0
_MOST_WAITING = 256
_ACCEPTS_A_TURN = 64
_MAX_PORT = 65_535
_PORT_DIGITS = 5
_HTTP_PORT = 80
_HTTP = "http://"
_USER = "mcp"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# Of one hop (RFC 9110, 7.6.1), or for a proxy.
_DROPPED = frozenset({"connection", "keep-alive", "proxy-authorization", "proxy-connection", "upgrade"})

Admit = Callable[[_socket.socket, str | Address, int, Talk], str]


class Wish(NamedTuple):
    """Where a client wants to go, and what is to be said there and to itself."""

    host: str | Address
    port: int
    talk: Talk


class RefusalError(Exception):
    """Why a request is answered with an error: its status, and a line of text."""

    def __init__(self, status: str, why: str, field: str = "") -> None:
        super().__init__(why)
        self.answer = (
            f"HTTP/1.1 {status}\r\n{field}Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(why.encode()) + 1}\r\nConnection: close\r\n\r\n{why}\n"
        ).encode(errors="backslashreplace")


class ProxyService:
    """Accepts, reads one head from each, and hands the connection over."""

    def __init__(self, loop: Loop, listener: _socket.socket, secret: str, admit: Admit) -> None:
        """``listener`` belongs to it; ``admit`` answers why it refused, and has taken over otherwise."""
        listener.setblocking(False)
        self._loop, self._listener, self._admit = loop, listener, admit
        self._expected = binascii.b2a_base64(f"{_USER}:{secret}".encode(), newline=False)
        self._heads: dict[_socket.socket, bytes] = {}
        self._slow = Deadlines[_socket.socket](_HEAD_SECONDS)
        loop.watch(listener.fileno(), READ, self._accept)

    @property
    def due_at(self) -> float | None:
        """When expire() is to be called."""
        return self._slow.first

    def expire(self) -> None:
        """Let go of who does not say what it wants."""
        for end in self._slow.take_expired(self._loop.now):
            self._drop(end)

    def close(self) -> None:
        """Nobody can connect any more."""
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        for end in tuple(self._heads):
            self._drop(end)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            if len(self._heads) >= _MOST_WAITING:
                self._drop(next(iter(self._heads)))
            try:
                end = accept(self._listener)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._loop.pause(self._listener.fileno())
                    return
                continue
            self._heads[end] = b""
            self._slow.start(end, self._loop.now)
            self._loop.watch(end.fileno(), READ, lambda end=end: self._read(end))  # type: ignore[misc]

    def _read(self, end: _socket.socket) -> None:
        try:
            data = end.recv(_LONGEST_HEAD)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        head, empty, rest = (self._heads[end] + data).partition(b"\r\n\r\n")
        if not empty and data and len(head) <= _LONGEST_HEAD:
            self._heads[end] = head
            return
        if not empty:
            self._drop(end)
            return
        self._forget(end)
        try:
            wish = self._understand(head, rest)
        except RefusalError as refused:
            _answer(end, refused.answer)
            return
        reason = self._admit(end, *wish)
        if reason:
            _answer(end, RefusalError("403 Forbidden", f"mcp: {wish.host}:{wish.port}: {reason}").answer)

    def _understand(self, head: bytes, rest: bytes) -> Wish:
        line, *lines = head.decode("latin-1").split("\r\n")
        fields = [(name.lower(), value.strip()) for name, _, value in (one.partition(":") for one in lines)]
        words = line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004  method, target, version
            raise RefusalError("400 Bad Request", "mcp: this is no request of HTTP/1.1")
        self._authenticate(fields)
        method, target, _ = words
        if method == "CONNECT":
            return Wish(*_place(target, 0), Talk(rest, _ESTABLISHED))
        if not target.lower().startswith(_HTTP):
            raise RefusalError("400 Bad Request", "mcp: this proxy takes CONNECT and http:// URLs")
        authority, slash, path = target[len(_HTTP) :].partition("/")
        host, port = _place(authority, _HTTP_PORT)
        kept = [one for one, (name, _) in zip(lines, fields, strict=True) if name not in _DROPPED]
        onward = "\r\n".join((f"{method} {slash or '/'}{path} HTTP/1.1", *kept, "Connection: close", "", ""))
        return Wish(host, port, Talk(onward.encode("latin-1") + rest))

    def _authenticate(self, fields: list[tuple[str, str]]) -> None:
        for name, value in fields:
            scheme, _, credentials = value.partition(" ")
            if name == "proxy-authorization" and scheme.lower() == "basic":
                given = credentials.strip().encode(errors="replace")
                if compare_digest(given, self._expected):
                    return
        raise RefusalError(
            "407 Proxy Authentication Required",
            "mcp: this proxy is for the server that has its URL",
            'Proxy-Authenticate: Basic realm="mcp"\r\n',
        )

    def _forget(self, end: _socket.socket) -> None:
        del self._heads[end]
        self._slow.stop(end)
        self._loop.forget(end.fileno())

    def _drop(self, end: _socket.socket) -> None:
        self._forget(end)
        reset(end)


def _place(authority: str, default: int) -> tuple[str | Address, int]:
    """Host and port of ``host:port`` or ``[v6]:port``; names in the one spelling that rules have."""
    host, _, port = authority.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        host, port = authority, str(default or "")
    bracketed = host.startswith("[") and host.endswith("]")
    address = parse_address(host[1:-1] if bracketed else host)
    if not port or len(port) > _PORT_DIGITS or not 0 < int(port) <= _MAX_PORT or (bracketed and not address):
        raise RefusalError("400 Bad Request", "mcp: a host and a port are wanted")
    try:
        return address or normal_name(host), int(port)
    except ValueError as error:
        raise RefusalError("400 Bad Request", f"mcp: {error}") from error


def _answer(end: _socket.socket, answer: bytes) -> None:
    """It is short, and the first on its connection."""
    try:
        end.send(answer, NO_SIGNAL)
        end.shutdown(_socket.SHUT_WR)
    except OSError:
        pass
    finally:
        end.close()
