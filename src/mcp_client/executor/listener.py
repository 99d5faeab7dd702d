"""The socket that clients of a server connect to, and what they may call it."""

from __future__ import annotations

import _socket
import os

from mcp_client.errors import MCPError, printable
from mcp_client.network.addresses import V4_BITS, parse_address, parse_network

_BACKLOG = 1024
_LOCALHOST = "localhost"
_LOOPBACK = (parse_network("127.0.0.0/8"), parse_network("::1"))


class Place:
    """Where to listen: an address, and a port or 0 for any free one.

    ``address`` is its text, with the interface of a link-local one (``fe80::1%eth0``, RFC 4007).
    """

    def __init__(self, host: str, port: int) -> None:
        """``host`` is an address or ``localhost``. Raises ``listen-failed``."""
        written, percent, interface = host.partition("%")
        parsed = parse_address("127.0.0.1" if host == _LOCALHOST else written)
        if parsed is None or (percent and (not interface or parsed.bits == V4_BITS)):
            raise MCPError(
                "listen-failed",
                f"not an address: {printable(host, 80)}",
                hint="name an address of this machine, such as 127.0.0.1 or 0.0.0.0",
            )
        self._parsed, self._port = parsed, port
        self.address = f"{parsed}{percent}{interface}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return any(network.holds(self._parsed) for network in _LOOPBACK)

    @property
    def url_host(self) -> str:
        """What a client on this machine writes: an address for all interfaces is no place to connect to."""
        if self._parsed.number == 0:
            return "127.0.0.1" if self._parsed.bits == V4_BITS else "[::1]"
        return self._bracketed

    def listen(self) -> tuple[_socket.socket, int]:
        """A listening socket and its port. Raises ``listen-failed``."""
        family = _socket.AF_INET if self._parsed.bits == V4_BITS else _socket.AF_INET6
        end = None
        try:
            end = _socket.socket(family, _socket.SOCK_STREAM)
            # Connections that have ended do not keep a service from coming back.
            end.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            end.bind((self.address, self._port))
            end.listen(_BACKLOG)
        except OSError as error:
            if end is not None:
                end.close()
            raise MCPError(
                "listen-failed",
                f"cannot listen on {self._bracketed}:{self._port}: {os.strerror(error.errno or 0)}",
                hint="choose another --port, or leave it out for a free one",
            ) from error
        return end, int(end.getsockname()[1])

    @property
    def _bracketed(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address


def own_names(port: int) -> frozenset[str]:
    """The Host headers of an endpoint on loopback. Any other is a name that was made to lead here."""
    return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "[::1]", _LOCALHOST))
