"""The socket that clients of a server connect to, and what they may call it."""

import _socket
import os
from ipaddress import IPv4Address, IPv6Address, ip_address

from mcp_client.errors import MCPError, printable

_BACKLOG = 1024
_LOCALHOST = "localhost"


class Place:
    """Where to listen: an address, and a port or 0 for any free one."""

    def __init__(self, host: str, port: int) -> None:
        """``host`` is an address or ``localhost``. Raises ``listen-failed``."""
        try:
            self.address = ip_address("127.0.0.1" if host == _LOCALHOST else host)
        except ValueError:
            raise MCPError(
                "listen-failed",
                f"not an address: {printable(host, 80)}",
                hint="name an address of this machine, such as 127.0.0.1 or 0.0.0.0",
            ) from None
        self._port = port

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.address.is_loopback

    def listen(self) -> tuple[_socket.socket, int]:
        """A listening socket and its port. Raises ``listen-failed``."""
        family = _socket.AF_INET if isinstance(self.address, IPv4Address) else _socket.AF_INET6
        try:
            end = _socket.socket(family, _socket.SOCK_STREAM)
            # Connections that have ended do not keep a service from coming back.
            end.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            end.bind((str(self.address), self._port))
            end.listen(_BACKLOG)
        except OSError as error:
            raise MCPError(
                "listen-failed",
                f"cannot listen on {_bracketed(self.address)}:{self._port}: {os.strerror(error.errno or 0)}",
                hint="choose another --port, or leave it out for a free one",
            ) from error
        return end, int(end.getsockname()[1])


def url_host(address: IPv4Address | IPv6Address) -> str:
    """What a client on this machine writes: an address for all interfaces is no place to connect to."""
    if address.is_unspecified:
        return "127.0.0.1" if isinstance(address, IPv4Address) else "[::1]"
    return _bracketed(address)


def own_names(port: int) -> frozenset[str]:
    """The Host headers of an endpoint on loopback. Any other is a name that was made to lead here."""
    return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "[::1]", _LOCALHOST))


def _bracketed(address: IPv4Address | IPv6Address) -> str:
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)
