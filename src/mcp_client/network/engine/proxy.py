"""The host's own way out: HTTPS_PROXY or ALL_PROXY, except for what NO_PROXY names, by CONNECT (RFC 9110).

Behind a proxy it is the proxy that looks up names: their addresses cannot be checked here.
"""

from __future__ import annotations

import _socket

from mcp_client.light import TYPE_CHECKING, NamedTuple
from mcp_client.network.addresses import Address, parse_address, parse_network
from mcp_client.network.engine.loop import READ, Loop
from mcp_client.network.engine.sockets import NO_SIGNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONGEST_REPLY = 16 << 10
_MAX_PORT = 65_535
_DEFAULT_PORT = 80
_LONGEST_SHOWN = 16


class Proxy(NamedTuple):
    """Where it listens, what it is told about the user, and which destinations do without it.

    ``unusable`` says why it cannot be used; then nothing is reached through it, and nothing around it.
    """

    host: str
    port: int
    authorization: str
    exceptions: tuple[str, ...]
    unusable: str = ""

    def serves(self, destination: str | Address, port: int) -> bool:
        """Whether a connection to there goes by way of the proxy."""
        return not any(_matches(entry, destination, port) for entry in self.exceptions)


def from_environment(environment: Mapping[str, str]) -> Proxy | None:
    """The proxy of the one whose environment it is; lower case wins, as everywhere."""
    values = {name.lower(): environment[name] for name in sorted(environment)}
    url = values.get("https_proxy") or values.get("all_proxy")
    if not url:
        return None
    exceptions = tuple(entry for entry in values.get("no_proxy", "").lower().replace(",", " ").split())
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "http", url.strip()
    user, _, place = rest.partition("/")[0].rpartition("@")
    host, port = _split(place)
    wrong = ""
    if scheme.lower() != "http":
        # Said to people: nothing but what can be a scheme (RFC 3986, 3.1).
        kind = f" of the kind {scheme[:_LONGEST_SHOWN]}://" if scheme.isascii() and scheme.isalnum() else ""
        wrong = f"a proxy{kind} is not supported"
    elif not host or not 0 < port <= _MAX_PORT:
        wrong = "the proxy's URL has no host and port"
    return Proxy(host, port, _authorization(user), exceptions, wrong)


def _split(place: str) -> tuple[str, int]:
    host, _, port = place.removeprefix("[").partition("]") if place.startswith("[") else place.partition(":")
    port = port.removeprefix(":")
    if not port:
        return host, _DEFAULT_PORT
    return host, int(port) if port.isascii() and port.isdigit() and len(port) < len("100000") else 0


def _authorization(user: str) -> str:
    """User and password of a URL as Basic credentials (RFC 7617)."""
    if not user:
        return ""
    import binascii
    from urllib.parse import unquote

    return (
        "Basic " + binascii.b2a_base64(unquote(user).encode(errors="surrogateescape"), newline=False).decode()
    )


def _matches(entry: str, destination: str | Address, port: int) -> bool:
    """One entry of NO_PROXY: ``*``, a host and all below it, an address or a network, maybe with a port."""
    if entry == "*":
        return True
    host, wanted = entry, ""
    if entry.count(":") == 1 or entry.startswith("["):
        host, _, wanted = entry.rpartition(":") if not entry.endswith("]") else (entry, "", "")
    if wanted and wanted != str(port):
        return False
    host = host.strip("[]")
    if isinstance(destination, str):
        host = host.removeprefix("*").removeprefix(".").removesuffix(".")
        return bool(host) and (destination == host or destination.endswith(f".{host}"))
    if "/" not in host:
        return parse_address(host) == destination
    try:
        return parse_network(host).holds(destination)
    except ValueError:
        return False


class Tunnel:
    """Ask a proxy that is connected for a connection; what comes after its answer is left in the socket."""

    def __init__(
        self,
        loop: Loop,
        end: _socket.socket,
        proxy: Proxy,
        target: tuple[str, int],
        on_done: Callable[[str], None],
    ) -> None:
        """``target`` is host and port; ``on_done`` gets an empty text, or why there is no connection."""
        self._loop = loop
        self._end = end
        self._on_done = on_done
        host = f"[{target[0]}]" if ":" in target[0] else target[0]
        lines = [f"CONNECT {host}:{target[1]} HTTP/1.1", f"Host: {host}:{target[1]}"]
        lines += [f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []
        self._request = "\r\n".join((*lines, "", "")).encode("ascii")
        self._reply = b""

    def start(self) -> None:
        """Send the request: it is short and the first on its connection, so that it goes in one piece."""
        try:
            sent = self._end.send(self._request, NO_SIGNAL)
        except OSError as error:
            self._on_done(f"the proxy: {error.strerror}")
            return
        if sent < len(self._request):
            self._on_done("the proxy does not read")
            return
        self._loop.watch(self._end.fileno(), READ, self._read)

    def _read(self) -> None:
        """Take no byte beyond the empty line: a server that speaks first may have sent some already."""
        try:
            seen = self._end.recv(_LONGEST_REPLY, _socket.MSG_PEEK)
            known = len(self._reply)
            found = (self._reply + seen).find(b"\r\n\r\n", max(0, known - 3))
            self._reply += self._end.recv(len(seen) if found < 0 else found + 4 - known)
        except BlockingIOError:
            return
        except OSError as error:
            self._finish(f"the proxy: {error.strerror}")
            return
        if found >= 0:
            words = self._reply.partition(b"\r\n")[0].split()
            http = len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit()
            status = words[1][:3].decode("ascii") if http else "nothing that is HTTP"
            self._finish("" if status.startswith("2") else f"the proxy answers {status}")
        elif not seen or len(self._reply) > _LONGEST_REPLY:
            self._finish("the proxy answers nothing that is HTTP")

    def _finish(self, failure: str) -> None:
        self._loop.forget(self._end.fileno())
        self._on_done(failure)
