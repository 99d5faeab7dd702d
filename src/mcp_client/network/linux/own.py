"""Which addresses are this machine's own, by its routing table (rtnetlink(7))."""

import _socket
import struct

from mcp_client.network.addresses import Address
from mcp_client.network.engine.sockets import family_of

# linux/netlink.h, linux/rtnetlink.h
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=8BI")
_ATTRIBUTE = struct.Struct("=HH")
_REQUEST = 1
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26
_RTA_DST = 1
_TYPE_AT = _HEADER.size + 7
_ANSWER_SIZE = 4096
# RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST: packets to these come to programs of this machine, too.
_OWN_TYPES = frozenset({2, 3, 4})


class OwnAddresses:
    """Those that a packet does not leave the machine for, as a container; they change while it runs.

    A list of the interfaces' addresses would miss networks that are routed to this machine as a whole.
    """

    def __contains__(self, address: object) -> bool:
        """Ask for the route to ``address``, as ``ip route get`` does. No packet is sent."""
        if not isinstance(address, Address):
            return False
        packed = address.packed
        route = _ROUTE.pack(family_of(address), address.bits, 0, 0, 0, 0, 0, 0, 0)
        body = route + _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _RTA_DST) + packed
        try:
            answer = _ask(_HEADER.pack(_HEADER.size + len(body), _RTM_GETROUTE, _REQUEST, 1, 0) + body)
        except OSError:
            # Not known, so closed.
            return True
        # An error means that there is no route, and nothing to be reached.
        return _HEADER.unpack_from(answer)[1] == _RTM_NEWROUTE and answer[_TYPE_AT] in _OWN_TYPES


def _ask(request: bytes) -> bytes:
    end = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _socket.NETLINK_ROUTE)
    try:
        end.send(request)
        return end.recv(_ANSWER_SIZE)
    finally:
        end.close()
