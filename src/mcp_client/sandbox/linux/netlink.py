"""Addresses and routes of the sandbox's own network namespace (rtnetlink(7), without the ip program)."""

from __future__ import annotations

import _socket
import errno
import os
import struct

from mcp_client.light import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

LOOPBACK = 1

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h, linux/if_link.h
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")
_NLMSG_ERROR = 2
_REQUEST_CREATE_ACK = 0x1 | 0x4 | 0x400
_RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 20, 24
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=8BI")
_IFF_UP = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF = 1, 4
# A tentative address could not be bound to until nobody has answered for it (RFC 4862).
_IFA_F_NODAD = 2
_SCOPE_HOST, _SCOPE_UNIVERSE = 254, 0
_TABLE_LOCAL, _PROTOCOL_STATIC, _TYPE_LOCAL = 255, 4, 2
_V4_SIZE = 4


class Netlink:
    """A socket to the kernel's routing, in the network namespace that its maker is in.

    Every method takes an interface by its index and raises OSError with the kernel's number; addresses are 4
    or 16 bytes in network order.
    """

    def __init__(self) -> None:
        """Raises OSError."""
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _socket.NETLINK_ROUTE)
        self._sequence = 0

    def __enter__(self) -> Self:
        """The socket itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._socket.close()

    def bring_up(self, interface: int) -> None:
        """Let packets pass."""
        self._ask(_RTM_NEWLINK, _LINK.pack(_socket.AF_UNSPEC, 0, interface, _IFF_UP, _IFF_UP))

    def add_address(self, interface: int, address: bytes, prefix: int) -> None:
        """Give the interface one more address."""
        family = _family(address)
        message = _ADDRESS.pack(family, prefix, _IFA_F_NODAD, _SCOPE_UNIVERSE, interface)
        self._ask(_RTM_NEWADDR, message + _pack(_IFA_LOCAL, address) + _pack(_IFA_ADDRESS, address))

    def add_local_route(self, interface: int, network: bytes, prefix: int) -> None:
        """Make a whole network this machine's own, as 127.0.0.0/8 is."""
        scope = _SCOPE_HOST if len(network) == _V4_SIZE else _SCOPE_UNIVERSE
        kind = _TABLE_LOCAL, _PROTOCOL_STATIC, scope, _TYPE_LOCAL
        message = _ROUTE.pack(_family(network), prefix, 0, 0, *kind, 0)
        self._ask(
            _RTM_NEWROUTE,
            message + _pack(_RTA_DST, network) + _pack(_RTA_OIF, struct.pack("=i", interface)),
        )

    def _ask(self, kind: int, body: bytes) -> None:
        self._sequence += 1
        size = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(size, kind, _REQUEST_CREATE_ACK, self._sequence, 0) + body)
        reply = self._socket.recv(4096)
        _, kind, _, sequence, _ = _HEADER.unpack_from(reply)
        if kind != _NLMSG_ERROR or sequence != self._sequence:
            raise OSError(errno.EPROTO, "an unexpected answer from rtnetlink")
        (number,) = _ERROR.unpack_from(reply, _HEADER.size)
        if number:
            raise OSError(-number, os.strerror(-number))


def _family(address: bytes) -> int:
    return _socket.AF_INET if len(address) == _V4_SIZE else _socket.AF_INET6


def _pack(kind: int, value: bytes) -> bytes:
    """An attribute; what is passed here has a multiple of four bytes and needs no padding."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
